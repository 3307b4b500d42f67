#include "waypoint/route/route.h"

#include <array>
#include <cmath>
#include <map>
#include <string>

#include <catch2/catch_test_macros.hpp>

#include "waypoint/route/test_tables.h"

namespace mesh::waypoint::route {
namespace {

using namespace test;

std::string routed(const config::RouteTable& table, const http::Request& request) {
  http::Dice dice(1);
  const Decision decision = decide(table, request, dice);
  return decision.route == nullptr ? "" : decision.route->name;
}

TEST_CASE("the first route that matches wins, whatever follows") {
  const auto table = table_of({make_route("exact", exact("/a")), make_route("seg", segments("/v2")),
                               make_route("regex", regex("/r[0-9]+")),
                               make_route("p", prefix("/p")), make_route("rest", prefix("/"))});
  struct Row {
    const char* path;
    const char* name;
  };
  for (const Row& row :
       {Row{"/a", "exact"}, Row{"/a?x=1", "exact"}, Row{"/a/", "rest"}, Row{"/v2", "seg"},
        Row{"/v2/x", "seg"}, Row{"/v2example", "rest"}, Row{"/r12", "regex"}, Row{"/r12/x", "rest"},
        Row{"/pq", "p"}, Row{"/", "rest"}}) {
    INFO(row.path);
    CHECK(routed(table, get(row.path)) == row.name);
  }
}

TEST_CASE("headers, method and query parameters must all hold") {
  config::Route first = make_route("first", prefix("/"));
  first.match.headers = {header(":method", "POST"), header("x-a", "1")};
  first.match.query = {{.name = "q", .text = config::StringMatch::exact("1")}};
  const auto table = table_of({first, make_route("rest", prefix("/"))});
  auto request = get("/?q=1", {{"x-a", "1"}});
  CHECK(routed(table, request) == "rest");
  request.method = "POST";
  CHECK(routed(table, request) == "first");
  request.path = "/?q=2";
  CHECK(routed(table, request) == "rest");
  request.path = "/?q=1";
  request.headers = {{"x-a", "1"}, {"x-a", "1"}};
  CHECK(routed(table, request) == "rest");  // the value is "1,1"
}

TEST_CASE("gRPC routes want gRPC's content type") {
  config::Route grpc = make_route("grpc", exact("/pkg.Echo/Ping"));
  grpc.match.grpc_only = true;
  const auto table = table_of({grpc});
  CHECK(routed(table, get("/pkg.Echo/Ping")).empty());
  CHECK(routed(table, get("/pkg.Echo/Ping", {{"content-type", "application/grpc+proto"}})) ==
        "grpc");
}

TEST_CASE("no route is no route, and no weight is nobody") {
  http::Dice dice(1);
  auto table = table_of({make_route("a", exact("/a"))});
  CHECK(decide(table, get("/b"), dice).kind == Decision::Kind::kNoRoute);
  table.hosts[0].domains = {"other"};
  CHECK(decide(table, get("/a"), dice).kind == Decision::Kind::kNoRoute);
  config::Route nobody = make_route("n", prefix("/"));
  nobody.action = config::Forward{};
  CHECK(decide(table_of({nobody}), get("/a"), dice).kind == Decision::Kind::kNoTarget);
  config::Route none{.name = "default"};
  CHECK(decide(table_of({none}), get("/a"), dice).kind == Decision::Kind::kNoRoute);
}

TEST_CASE("a virtual host is found by its longest domain") {
  config::RouteTable table;
  for (const char* domain :
       {"*", "*.example", "*.b.example", "a.b.example", "web.*", "web", "[::1]"}) {
    table.hosts.push_back({.name = domain, .domains = {domain}});
  }
  struct Row {
    const char* authority;
    const char* host;
  };
  for (const Row& row : {Row{"a.b.example", "a.b.example"}, Row{"A.B.Example", "a.b.example"},
                         Row{"x.b.example", "*.b.example"}, Row{"x.example", "*.example"},
                         Row{".example", "*"}, Row{"web", "web"}, Row{"web.shop", "web.*"},
                         Row{"web:80", "*"}, Row{"", "*"}, Row{"[::1]", "[::1]"}}) {
    INFO(row.authority);
    const config::VirtualHost* host = find_host(table, row.authority);
    REQUIRE(host != nullptr);
    CHECK(host->name == row.host);
  }
  table.ignore_port_in_host = true;
  CHECK(find_host(table, "web:80")->name == "web");
  CHECK(find_host(table, "[::1]:80")->name == "[::1]");
}

TEST_CASE("CONNECT matches a connect route and nothing else does") {
  config::Route connect = make_route("connect", {.kind = config::PathMatch::Kind::kConnect});
  const auto table = table_of({connect});
  auto request = get("/");
  CHECK(routed(table, request).empty());
  request.method = "CONNECT";
  CHECK(routed(table, request) == "connect");
}

TEST_CASE("weights split within what chance allows") {
  config::Route split = make_route("split", prefix("/"));
  config::Forward forward{.total_weight = 100};
  forward.targets = {{.cluster = "a", .weight = 70},
                     {.cluster = "b", .weight = 30},
                     {.cluster = "c", .weight = 0}};
  split.action = forward;
  const auto table = table_of({split});
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    http::Dice dice(seed);
    std::map<std::string, int> counts;
    constexpr int kRequests = 10'000;
    for (int i = 0; i < kRequests; ++i) ++counts[decide(table, get("/"), dice).target->cluster];
    // Five standard deviations of a binomial.
    CHECK(std::abs(counts["a"] - 7'000) < 5 * std::sqrt(kRequests * 0.7 * 0.3));
    CHECK(counts["a"] + counts["b"] == kRequests);
  }
}

TEST_CASE("a route may be for certain callers only") {
  config::Route some = make_route("some", prefix("/"));
  some.match.principals.push_back(
      {.of_peer = true, .text = config::StringMatch::prefix("spiffe://td/ns/a/sa/")});
  const auto table = table_of({some, make_route("rest", prefix("/"))});
  http::Dice dice(3);
  const auto chosen = [&](std::string_view peer) {
    return decide(table, get("/"), dice, {.peer = peer, .own = "spiffe://td/ns/a/sa/own"})
        .route->name;
  };
  CHECK(chosen("spiffe://td/ns/a/sa/x") == "some");
  CHECK(chosen("spiffe://td/ns/ab/sa/x") == "rest");
  CHECK(chosen("spiffe://other/ns/a/sa/x") == "rest");
  CHECK(chosen("") == "rest");
}

TEST_CASE("a route with a fraction leaves the rest to those behind it") {
  config::Route some = make_route("some", prefix("/"));
  some.match.fraction = config::Fraction{.numerator = 20, .denominator = 100};
  const auto table = table_of({some, make_route("rest", prefix("/"))});
  http::Dice dice(3);
  int hits = 0;
  for (int i = 0; i < 10'000; ++i)
    hits += decide(table, get("/"), dice).route->name == "some" ? 1 : 0;
  CHECK(std::abs(hits - 2'000) < 200);
}

TEST_CASE("mirrors are rolled for one by one") {
  config::Forward forward = to("a");
  forward.mirrors = {{.cluster = "m"},
                     {.cluster = "n", .fraction = {.numerator = 0, .denominator = 100}}};
  http::Dice dice(1);
  const auto chosen = mirrors(forward, dice);
  REQUIRE(chosen.size() == 1);
  CHECK(chosen[0]->cluster == "m");
}

TEST_CASE("a redirect names the whole place") {
  struct Row {
    config::Redirect redirect;
    const char* authority;
    const char* path;
    const char* location;
  };
  const config::RouteMatch match{.path = segments("/old")};
  for (const Row& row : {
           Row{{.host = "b"}, "a", "/x?y", "http://b/x?y"},
           Row{{.https = true}, "a:80", "/x", "https://a/x"},
           Row{{.https = true}, "a:8080", "/x", "https://a:8080/x"},
           Row{{.scheme = "https", .port = 8443}, "a:80", "/x", "https://a:8443/x"},
           Row{{.port = 81}, "[::1]:80", "/x", "http://[::1]:81/x"},
           Row{{.path = "/new"}, "a", "/x?y=1", "http://a/new?y=1"},
           Row{{.path = "/new?z"}, "a", "/x?y=1", "http://a/new?z"},
           Row{{.path = "/new", .strip_query = true}, "a", "/x?y=1", "http://a/new"},
           Row{{.prefix_rewrite = "/new"}, "a", "/old/x?y", "http://a/new/x?y"},
           Row{{.prefix_rewrite = "/"}, "a", "/old/x", "http://a/x"},
           Row{{.prefix_rewrite = "/"}, "a", "/old", "http://a/"},
           Row{{.rewrite_regex = *config::Regex::compile("^/old/(.*)$"),
                .rewrite_substitution = "/\\1/n"},
               "a",
               "/old/x?y",
               "http://a/x/n?y"},
       }) {
    http::Request request = get(row.path);
    request.authority = row.authority;
    CHECK(redirect_location(row.redirect, match, request) == row.location);
  }
}

TEST_CASE("the most specific override of a filter counts") {
  config::Route one = make_route("one", prefix("/"));
  auto table = table_of({one});
  table.overrides.fault = config::Fault{.max_active = 1};
  http::Dice dice(1);
  const Decision plain = decide(table, get("/"), dice);
  CHECK(override_of(table, plain, &config::FilterOverrides::fault)->max_active == 1);
  CHECK(override_of(table, plain, &config::FilterOverrides::cors) == nullptr);
  one.overrides.fault = config::Fault{.max_active = 2};
  auto specific = table_of({one});
  specific.overrides.fault = config::Fault{.max_active = 1};
  const Decision decision = decide(specific, get("/"), dice);
  CHECK(override_of(specific, decision, &config::FilterOverrides::fault)->max_active == 2);
}

}  // namespace
}  // namespace mesh::waypoint::route
