#include "ztunnel/pages.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::ztunnel {
namespace {

admin::Request request(std::string method, std::string path, std::string query = {}) {
  admin::Request made;
  made.method = std::move(method);
  made.path = std::move(path);
  made.has_query = !query.empty();
  made.query = std::move(query);
  return made;
}

io::Task<std::string> no_dump() { co_return "{}"; }

struct Bench {
  telemetry::LogFilter filter;
  bool quit = false;
  admin::Routes routes =
      admin_pages(filter, telemetry::Level::kInfo, no_dump, [this] { quit = true; });
  std::string logging(const std::string& query, int status = 200) {
    const admin::Response response = routes.answer(request("POST", "/logging", query));
    CHECK(response.status == status);
    return response.body;
  }
};

TEST_CASE("golden: log levels are listed, changed, scoped and reset") {
  Bench bench;
  CHECK(bench.logging("") == "current log level is info\n");
  CHECK(bench.logging("level=debug") == "current log level is debug\n");
  CHECK(bench.logging("level=access=debug") == "current log level is access=debug,debug\n");
  CHECK(bench.logging("level=info,proxy=trace") ==
        "current log level is access=debug,proxy=trace,info\n");
  CHECK(bench.logging("level=") == "current log level is access=debug,proxy=trace,info\n");
  CHECK(bench.logging("reset") == "current log level is info\n");
  CHECK(bench.logging("level=off") == "current log level is off\n");
  CHECK(bench.logging("level=chatty", 400).starts_with("Invalid level provided: chatty\n\nusage"));
  CHECK(bench.logging("level=access:debug", 400).starts_with("Invalid level provided: access:"));
}

TEST_CASE("do better 12: an unknown parameter is 400, and pages refuse other methods") {
  Bench bench;
  CHECK(bench.logging("nope=1", 400).starts_with("Unknown parameter: nope=1\n"));
  CHECK(bench.logging("level=info&level=debug", 400).starts_with("Unknown parameter"));
  CHECK(bench.filter.text() == "info");
  for (const char* method : {"POST", "PUT", "OPTIONS", "DELETE"}) {
    CHECK(bench.routes.answer(request(method, "/")).status == 405);
    CHECK(bench.routes.answer(request(method, "/config_dump")).status == 405);
  }
  CHECK(bench.routes.answer(request("GET", "/logging")).status == 405);
  CHECK(bench.routes.answer(request("GET", "/logging")).body.starts_with("Invalid HTTP method\n"));
  CHECK(bench.routes.answer(request("GET", "/quitquitquit")).status == 405);
  CHECK(!bench.quit);
}

TEST_CASE("golden: admin, readiness and metrics pages answer as recorded") {
  Bench bench;
  CHECK(bench.routes.answer(request("GET", "/")).content_type == "text/html; charset=utf-8");
  CHECK(bench.routes.answer(request("HEAD", "/")).status == 200);
  CHECK(bench.routes.answer(request("GET", "//")).status == 404);
  CHECK(bench.routes.answer(request("GET", "/config_dump/")).status == 404);
  CHECK(bench.routes.answer(request("POST", "/quitquitquit")).body == "shutdown now\n");
  CHECK(bench.quit);

  std::vector<std::string> missing = {"state manager"};
  const admin::Routes ready = readiness_pages([&] { return missing; });
  CHECK(ready.answer(request("GET", "/healthz/ready")).status == 500);
  CHECK(ready.answer(request("GET", "/healthz/ready")).body ==
        "not ready, pending: state manager\n");
  missing.clear();
  CHECK(ready.answer(request("GET", "/healthz/ready")).status == 200);
  CHECK(ready.answer(request("GET", "/healthz/ready")).body == "ready\n");
  CHECK(ready.answer(request("POST", "/healthz/ready")).status == 405);
  CHECK(ready.answer(request("HEAD", "/healthz/ready")).status == 405);
  CHECK(ready.answer(request("GET", "/")).status == 404);

  const admin::Routes metrics = metrics_pages([] { return std::string("# EOF\n"); });
  admin::Request scrape = request("GET", "/metrics");
  CHECK(metrics.answer(scrape).content_type == "text/plain; charset=utf-8");
  scrape.headers.emplace_back("accept", "application/openmetrics-text; version=1.0.0");
  CHECK(metrics.answer(scrape).content_type ==
        "application/openmetrics-text;charset=utf-8;version=1.0.0");
  CHECK(metrics.answer(request("GET", "/stats/prometheus")).status == 200);
  CHECK(metrics.answer(request("GET", "/nope")).status == 404);
}

}  // namespace
}  // namespace mesh::ztunnel
