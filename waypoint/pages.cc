#include "waypoint/pages.h"

namespace mesh::waypoint {

using admin::Request;
using admin::Response;
using admin::Routes;

namespace {

Response logging(const Request& request, telemetry::LogFilter& filter, telemetry::Level initial) {
  if (request.has_query && request.query == "reset") {
    filter.reset(initial);
  } else if (request.has_query && !request.query.empty()) {
    const auto level = request.parameter("level");
    if (!level || request.query.find('&') != std::string::npos || !filter.apply(*level)) {
      return {.status = 400, .body = "usage: POST /logging?level=LEVEL or ?level=SCOPE=LEVEL,…\n"};
    }
  }
  return {.body = "current log level is " + filter.text() + "\n"};
}

// A coroutine must not be a lambda with captures: its captures would die before it does.
io::Task<Response> answer(const std::function<io::Task<std::string>()>& source,
                          const char* content_type) {
  std::string text = co_await source();
  co_return Response{.content_type = content_type, .body = std::move(text)};
}

Response ready(const std::vector<std::string>& pending, const char* yes) {
  if (pending.empty()) return {.body = yes};
  std::string text = "waiting for:";
  for (const std::string& what : pending) text += " " + what;
  return {.status = 503, .body = text + "\n"};
}

}  // namespace

Routes admin_pages(const PageSources& sources, telemetry::LogFilter& filter,
                   telemetry::Level initial) {
  Routes routes;
  routes.get_task("/config_dump",
                  [sources](Request) { return answer(sources.config_dump, "application/json"); });
  routes.get_task("/clusters",
                  [sources](Request) { return answer(sources.clusters, "text/plain"); });
  routes.get_task("/stats", [sources](Request) { return answer(sources.stats, "text/plain"); });
  routes.get("/stats/prometheus", [sources](const Request&) {
    return Response{.content_type = "text/plain; version=0.0.4", .body = sources.metrics()};
  });
  routes.get("/ready", [sources](const Request&) { return ready(sources.pending(), "LIVE\n"); });
  routes.post("/logging", [&filter, initial](const Request& request) {
    return logging(request, filter, initial);
  });
  routes.post("/quitquitquit", [sources](const Request&) {
    sources.quit();
    return Response{.body = "shutdown now\n"};
  });
  return routes;
}

Routes metrics_pages(const PageSources& sources) {
  Routes routes;
  const auto page = [sources](const Request&) {
    return Response{.content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8",
                    .body = sources.metrics()};
  };
  routes.get("/metrics", page);
  routes.get("/stats/prometheus", page);
  return routes;
}

Routes readiness_pages(const PageSources& sources) {
  Routes routes;
  routes.get("/healthz/ready",
             [sources](const Request&) { return ready(sources.pending(), "ready\n"); });
  return routes;
}

}  // namespace mesh::waypoint
