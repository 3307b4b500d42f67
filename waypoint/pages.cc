#include "waypoint/pages.h"

#include <algorithm>
#include <utility>

#include "waypoint/config/regex.h"

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

// "?a&b=c": whether `name` is there, whatever its value.
bool asks_for(const Request& request, std::string_view name) {
  for (std::string_view rest = request.query; !rest.empty();) {
    const std::string_view one = rest.substr(0, rest.find('&'));
    if (one.substr(0, one.find('=')) == name) return true;
    rest.remove_prefix(std::min(one.size() + 1, rest.size()));
  }
  return false;
}

bool wants_json(const Request& request) { return request.parameter("format") == "json"; }

Response page_of(std::string text, bool json) {
  return {.content_type = json ? "application/json" : "text/plain", .body = std::move(text)};
}

// Coroutines that are lambdas with captures would outlive them.
io::Task<Response> clusters_page(io::Task<std::string> page, bool json) {
  std::string text = co_await std::move(page);
  co_return page_of(std::move(text), json);
}

io::Task<Response> stats_task(PageSources sources, Request request) {
  if (request.parameter("format") == "prometheus") {
    co_return Response{.content_type = "text/plain; version=0.0.4", .body = sources.metrics()};
  }
  const std::string lines = co_await sources.stats();
  co_return stats_page(lines, request);
}

Response ready(const std::vector<std::string>& pending, const char* yes) {
  if (pending.empty()) return {.body = yes};
  std::string text = "waiting for:";
  for (const std::string& what : pending) text += " " + what;
  return {.status = 503, .body = text + "\n"};
}

}  // namespace

Response stats_page(const std::string& lines, const Request& request) {
  config::RegexPtr filter;
  if (const auto pattern = request.parameter("filter")) {
    auto compiled = config::Regex::compile("(?s).*(?:" + *pattern + ").*");
    if (!compiled) return {.status = 400, .body = "this filter is no regular expression\n"};
    filter = *std::move(compiled);
  }
  const bool json = wants_json(request);
  std::string text;
  for (std::string_view rest = lines; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    const std::size_t colon = line.rfind(": ");
    if (colon == std::string_view::npos) continue;
    const std::string_view name = line.substr(0, colon);
    if (filter && !filter->matches(name)) continue;
    if (!json) {
      text.append(line).append("\n");
      continue;
    }
    text.append(text.empty() ? "" : ",").append("{\"name\":");
    telemetry::append_quoted_json(text, name);
    text.append(",\"value\":").append(line.substr(colon + 2)).append("}");
  }
  return page_of(json ? "{\"stats\":[" + text + "]}\n" : text, json);
}

Routes admin_pages(const PageSources& sources, telemetry::LogFilter& filter,
                   telemetry::Level initial) {
  Routes routes;
  routes.get("/config_dump", [sources](const Request& request) {
    return page_of(sources.config_dump(asks_for(request, "include_eds")), true);
  });
  routes.get_task("/clusters", [sources](Request request) {
    const bool json = wants_json(request);
    return clusters_page(sources.clusters(json), json);
  });
  routes.get_task("/stats",
                  [sources](Request request) { return stats_task(sources, std::move(request)); });
  routes.get("/listeners", [sources](const Request& request) {
    const bool json = wants_json(request);
    return page_of(sources.listeners(json), json);
  });
  routes.get("/certs", [sources](const Request&) { return page_of(sources.certificates(), true); });
  routes.get("/server_info",
             [sources](const Request&) { return page_of(sources.server_info(), true); });
  routes.get("/stats/prometheus", [sources](const Request&) {
    return Response{.content_type = "text/plain; version=0.0.4", .body = sources.metrics()};
  });
  routes.get("/ready", [sources](const Request&) { return ready(sources.pending(), "LIVE\n"); });
  routes.get("/logging", [&filter](const Request&) {
    return Response{.body = "current log level is " + filter.text() + "\n"};
  });
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
