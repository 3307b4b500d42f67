#include "ztunnel/pages.h"

namespace mesh::ztunnel {

using admin::Request;
using admin::Response;
using admin::Routes;

namespace {

constexpr std::string_view kLoggingUsage =
    "\nusage: POST /logging\t\t\t\t\t\t(To list current level)\n"
    "usage: POST /logging?level=<level>\t\t\t\t(To change global levels)\n"
    "usage: POST /logging?level=<scope1>=<level1>,<scope2>=<level2>\t(To change specific scopes)\n"
    "usage: POST /logging?reset\t\t\t\t\t(To go back to the initial level)\n"
    "\nhint: loglevel:\terror|warn|info|debug|trace|off\n"
    "hint: scope:\taccess|node|pod|xds|ca|identity|zds|admin\n";

Response logging(const Request& request, telemetry::LogFilter& filter, telemetry::Level initial) {
  if (request.has_query && request.query == "reset") {
    filter.reset(initial);
  } else if (request.has_query && !request.query.empty()) {
    const auto level = request.parameter("level");
    // Anything but one `level` is a mistake of the caller's, and said so.
    if (!level || !request.query.starts_with("level=") ||
        request.query.find('&') != std::string::npos) {
      return {.status = 400,
              .body = "Unknown parameter: " + request.query + "\n" + std::string(kLoggingUsage)};
    }
    if (!level->empty() && !filter.apply(*level)) {
      return {.status = 400,
              .body = "Invalid level provided: " + *level + "\n" + std::string(kLoggingUsage)};
    }
  }
  return {.body = "current log level is " + filter.text() + "\n"};
}

constexpr std::string_view kRoot =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head><title>weft-ztunnel</title></head>\n<body>\n"
    "<table>\n<tr><th>Command</th><th>Description</th></tr>\n"
    "<tr><td><a href=\"config_dump\">config_dump</a></td>"
    "<td>what this proxy knows: workloads, services, policies, certificates, "
    "connections</td></tr>\n"
    "<tr><td>logging</td><td>POST: query or change log levels</td></tr>\n"
    "<tr><td>quitquitquit</td><td>POST: drain and exit</td></tr>\n"
    "</table>\n</body>\n</html>\n";

// A coroutine must not be a lambda with captures: its captures would die before it does.
io::Task<Response> answer_dump(const std::function<io::Task<std::string>()>& dump) {
  std::string text = co_await dump();
  co_return Response{.content_type = "application/json", .body = std::move(text)};
}

}  // namespace

Routes admin_pages(telemetry::LogFilter& filter, telemetry::Level initial,
                   std::function<io::Task<std::string>()> dump, std::function<void()> quit) {
  Routes routes;
  routes.get("/", [](const Request&) {
    return Response{.content_type = "text/html; charset=utf-8", .body = std::string(kRoot)};
  });
  routes.get_task("/config_dump", [dump = std::move(dump)](Request) { return answer_dump(dump); });
  routes.post("/logging", [&filter, initial](const Request& request) {
    return logging(request, filter, initial);
  });
  routes.wrong_method_body("/logging", "Invalid HTTP method\n" + std::string(kLoggingUsage));
  routes.post("/quitquitquit", [quit = std::move(quit)](const Request&) {
    quit();
    return Response{.body = "shutdown now\n"};
  });
  return routes;
}

Routes metrics_pages(std::function<std::string()> render) {
  const auto page = [render = std::move(render)](const Request& request) {
    const bool openmetrics =
        request.header("accept").find("application/openmetrics-text") != std::string_view::npos;
    return Response{.content_type = openmetrics
                                        ? "application/openmetrics-text;charset=utf-8;version=1.0.0"
                                        : "text/plain; charset=utf-8",
                    .body = render()};
  };
  Routes routes;
  routes.get("/metrics", page);
  routes.get("/stats/prometheus", page);
  return routes;
}

Routes readiness_pages(std::function<std::vector<std::string>()> pending) {
  Routes routes;
  const auto page = [pending = std::move(pending)](const Request&) {
    const std::vector<std::string> missing = pending();
    if (missing.empty()) return Response{.body = "ready\n"};
    std::string text = "not ready, pending: ";
    for (std::size_t i = 0; i < missing.size(); ++i) text += (i > 0 ? ", " : "") + missing[i];
    return Response{.status = 500, .body = text + "\n"};
  };
  routes.get("/healthz/ready", page, false);
  return routes;
}

}  // namespace mesh::ztunnel
