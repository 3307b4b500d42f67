#include "waypoint/route/rewrite.h"

#include <catch2/catch_test_macros.hpp>

#include "waypoint/route/test_tables.h"

namespace mesh::waypoint::route {
namespace {

using namespace test;
using Action = config::HeaderChange::Action;

TEST_CASE("header changes remove first, then add in order") {
  h2::Headers headers = {{"a", "1"}, {"b", "1"}, {"c", "1"}};
  const config::HeaderChanges changes{
      .remove = {"a", "b"},
      .add = {{.name = "a", .value = "2", .action = Action::kOverwriteIfExists},
              {.name = "b", .value = "2", .action = Action::kAddIfAbsent},
              {.name = "b", .value = "3", .action = Action::kAddIfAbsent},
              {.name = "c", .value = "2"},
              {.name = "d", .value = "2", .action = Action::kOverwriteOrAdd},
              {.name = "d", .value = "3", .action = Action::kOverwriteOrAdd},
              {.name = "e", .value = ""},
              {.name = "f", .value = "", .keep_empty = true},
              {.name = "g", .value = "x\r\ny: z"}}};
  apply(changes, {}, headers);
  CHECK(headers == h2::Headers{{"c", "1"}, {"b", "2"}, {"c", "2"}, {"d", "3"}, {"f", ""}});
}

TEST_CASE("command operators name parts of the request") {
  const http::Request request = get("/p", {{"x-a", "long value"}});
  const FormatContext context{.request = &request,
                              .response_code = 204,
                              .peer = *net::SocketAddress::parse("10.0.0.1:99"),
                              .peer_principal = "spiffe://td/ns/a/sa/b"};
  struct Row {
    const char* format;
    const char* text;
  };
  for (const Row& row : {
           Row{"100%%", "100%"},
           Row{"%REQ(X-A)%", "long value"},
           Row{"%REQ(X-A):4%", "long"},
           Row{"%REQ(x-b?x-a)%!", "long value!"},
           Row{"%REQ(x-b)%", ""},
           Row{"%REQ(:path)%", "/p"},
           Row{"%RESPONSE_CODE%", "204"},
           Row{"%DOWNSTREAM_REMOTE_ADDRESS%", "10.0.0.1:99"},
           Row{"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "10.0.0.1"},
           Row{"%DOWNSTREAM_PEER_URI_SAN%", "spiffe://td/ns/a/sa/b"},
       }) {
    INFO(row.format);
    CHECK(is_format(row.format));
    CHECK(expand(row.format, context) == row.text);
  }
  for (const char* bad : {"%", "%REQ%", "%REQ()%", "%REQ(a", "%REQ(a):x%", "%REQ(a)y%", "%WHAT%",
                          "50% off", "%PROTOCOL(x)%"}) {
    INFO(bad);
    CHECK_FALSE(is_format(bad));
  }
}

TEST_CASE("a prefix is replaced by what fits behind it") {
  struct Row {
    config::PathMatch match;
    const char* path;
    const char* replacement;
    const char* replaced;
  };
  for (const Row& row : {
           Row{segments("/old"), "/old", "/new", "/new"},
           Row{segments("/old"), "/old/", "/new", "/new/"},
           Row{segments("/old"), "/old/x", "/new", "/new/x"},
           Row{segments("/old"), "/old/x", "/new/", "/new/x"},
           Row{segments("/old"), "/old/x", "/", "/x"},
           Row{segments("/old"), "/old", "/", "/"},
           Row{prefix("/old/"), "/old/x", "/new/", "/new/x"},
           Row{prefix("/old"), "/older", "/new", "/newer"},
           Row{exact("/old"), "/old", "/new", "/new"},
           Row{regex("/o.*"), "/old", "/new", "/new"},
       }) {
    CHECK(replace_prefix(row.match, row.path, row.replacement) == row.replaced);
  }
}

TEST_CASE("a forwarded request is rewritten as its route says") {
  config::Route route = make_route("r", segments("/old"));
  config::Forward forward = to("c");
  forward.prefix_rewrite = "/new";
  forward.host_rewrite = "other";
  forward.append_x_forwarded_host = true;
  route.action = forward;
  const auto table = table_of({route});
  http::Request request = get("/old/x?y=1");
  http::Dice dice(1);
  const Decision decision = decide(table, request, dice);
  const http::Request before = request;
  rewrite_request(table, decision, {.request = &before}, request);
  CHECK(request.path == "/new/x?y=1");
  CHECK(request.authority == "other");
  CHECK(request.headers == h2::Headers{{"x-forwarded-host", "web.shop.svc.cluster.local"},
                                       {"x-envoy-original-host", "web.shop.svc.cluster.local"},
                                       {"x-envoy-original-path", "/old/x?y=1"}});
}

TEST_CASE("where the same header is set twice, the table says who wins") {
  const auto set = [](const char* value) {
    return config::HeaderChanges{
        .add = {{.name = "x", .value = value, .action = Action::kOverwriteOrAdd}}};
  };
  config::Route route = make_route("r", prefix("/"));
  config::Forward forward{.total_weight = 1};
  forward.targets.push_back({.cluster = "c", .request_headers = set("target")});
  route.action = forward;
  route.request_headers = set("route");
  auto table = table_of({route});
  table.request_headers = set("table");
  for (const bool specific : {false, true}) {
    table.most_specific_headers_win = specific;
    http::Request request = get("/");
    http::Dice dice(1);
    const Decision decision = decide(table, request, dice);
    rewrite_request(table, decision, {}, request);
    CHECK(request.headers == h2::Headers{{"x", specific ? "target" : "table"}});
  }
}

TEST_CASE("a host taken from a header must be one") {
  config::Route route = make_route("r", prefix("/"));
  config::Forward forward = to("c");
  forward.host_rewrite_header = "x-host";
  route.action = forward;
  const auto table = table_of({route});
  http::Dice dice(1);
  for (const auto& [value, host] :
       {std::pair{"b:80", "b:80"}, std::pair{"b/c", "web.shop.svc.cluster.local"},
        std::pair{"", "web.shop.svc.cluster.local"}}) {
    http::Request request = get("/", {{"x-host", value}});
    rewrite_request(table, decide(table, request, dice), {}, request);
    CHECK(request.authority == host);
  }
}

TEST_CASE("a mirrored request goes to the shadow of its host") {
  for (const auto& [before, after] : {std::pair{"a", "a-shadow"}, std::pair{"a:80", "a-shadow:80"},
                                      std::pair{"[::1]", "[::1]-shadow"}}) {
    http::Request request = get("/");
    request.authority = before;
    rewrite_mirrored({}, {}, request);
    CHECK(request.authority == after);
  }
  http::Request request = get("/");
  rewrite_mirrored({.append_shadow = false}, {}, request);
  CHECK(request.authority == "web.shop.svc.cluster.local");
}

TEST_CASE("no client steers us by Envoy's own headers") {
  h2::Headers headers = {{"x-envoy-max-retries", "9"},
                         {"x-envoy-retry-on", "5xx"},
                         {"x-envoy-upstream-rq-timeout-ms", "1"},
                         {"x-envoy-original-path", "/admin"},
                         {"x-envoy-mine", "kept"},
                         {"x-other", "kept"}};
  strip_internal_headers(headers);
  CHECK(headers == h2::Headers{{"x-envoy-mine", "kept"}, {"x-other", "kept"}});
}

}  // namespace
}  // namespace mesh::waypoint::route
