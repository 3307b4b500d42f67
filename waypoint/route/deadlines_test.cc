#include "waypoint/route/deadlines.h"

#include <catch2/catch_test_macros.hpp>

#include "waypoint/http/xxhash.h"
#include "waypoint/route/test_tables.h"

namespace mesh::waypoint::route {
namespace {

using namespace test;
using namespace std::chrono_literals;

TEST_CASE("gRPC's timeouts are a number and a unit") {
  CHECK(parse_grpc_timeout("1H") == 3'600s);
  CHECK(parse_grpc_timeout("2M") == 120s);
  CHECK(parse_grpc_timeout("3S") == 3s);
  CHECK(parse_grpc_timeout("4m") == 4ms);
  CHECK(parse_grpc_timeout("1u") == 1ms);
  CHECK(parse_grpc_timeout("1000001n") == 2ms);
  CHECK(parse_grpc_timeout("99999999H").has_value());
  for (const char* bad : {"", "S", "1", "1x", "-1S", "1.5S", " 1S", "123456789S"}) {
    CHECK_FALSE(parse_grpc_timeout(bad).has_value());
  }
}

TEST_CASE("a route's timeout counts, and a call's own only where the route says so") {
  config::Forward forward = to("c");
  const auto plain = get("/");
  const auto call = get("/", {{"content-type", "application/grpc"}, {"grpc-timeout", "5S"}});
  const auto endless = get("/", {{"content-type", "application/grpc"}});
  CHECK(deadlines(forward, plain).whole == 15s);
  CHECK(deadlines(forward, call).whole == 15s);
  forward.grpc_timeout_max = 0ms;
  CHECK(deadlines(forward, plain).whole == 15s);
  CHECK(deadlines(forward, call).whole == 5s);
  CHECK(deadlines(forward, endless).whole == 0s);
  CHECK(deadlines(forward, get("/", {{"content-type", "application/grpc"}, {"grpc-timeout", "1S"}}))
            .of_caller);
  forward.grpc_timeout_max = 2s;
  CHECK_FALSE(
      deadlines(forward, get("/", {{"content-type", "application/grpc"}, {"grpc-timeout", "9S"}}))
          .of_caller);
  CHECK(deadlines(forward, call).whole == 2s);
  CHECK(deadlines(forward, endless).whole == 2s);
  forward.grpc_timeout_max = 0ms;
  forward.grpc_timeout_offset = 1s;
  CHECK(deadlines(forward, call).whole == 4s);
}

TEST_CASE("a try's timeout that cannot be reached is none") {
  config::Forward forward = to("c");
  forward.timeout = 2s;
  forward.retry = config::RetryPolicy{.per_try_timeout = 1s};
  CHECK(deadlines(forward, get("/")).per_try == 1s);
  CHECK(deadlines(forward, get("/")).expected == 1s);
  forward.retry->per_try_timeout = 2s;
  CHECK(deadlines(forward, get("/")).per_try == 0s);
  CHECK(deadlines(forward, get("/")).expected == 2s);
  forward.timeout = 0ms;
  CHECK(deadlines(forward, get("/")).per_try == 2s);
}

TEST_CASE("a hash comes from what the policies name, in order") {
  using Kind = config::HashPolicy::Kind;
  const auto ip = *net::IpAddress::parse("10.0.0.1");
  const auto request = get("/?u=7", {{"x-user", "ann"}, {"cookie", "s=abc"}});
  const auto value = [&](std::vector<config::HashPolicy> policies) {
    return hash_of(policies, request, ip, 1).value;
  };
  CHECK(value({{.kind = Kind::kHeader, .name = "x-user"}}) == http::xxhash64("ann"));
  CHECK(value({{.kind = Kind::kQuery, .name = "u"}}) == http::xxhash64("7"));
  CHECK(value({{.kind = Kind::kCookie, .name = "s"}}) == http::xxhash64("abc"));
  CHECK(value({{.kind = Kind::kSourceIp}}) == http::xxhash64("10.0.0.1"));
  CHECK_FALSE(value({{.kind = Kind::kHeader, .name = "x-none"}}).has_value());
  CHECK_FALSE(value({}).has_value());
  const auto both = value({{.kind = Kind::kHeader, .name = "x-user"}, {.kind = Kind::kSourceIp}});
  CHECK(both != http::xxhash64("ann"));
  CHECK(value({{.kind = Kind::kHeader, .name = "x-user", .terminal = true},
               {.kind = Kind::kSourceIp}}) == http::xxhash64("ann"));
}

TEST_CASE("a session without a cookie gets one, and is hashed by it") {
  const std::vector<config::HashPolicy> policies = {{.kind = config::HashPolicy::Kind::kCookie,
                                                     .name = "sid",
                                                     .cookie_ttl = std::chrono::seconds(60),
                                                     .cookie_path = "/"}};
  const Hash hash = hash_of(policies, get("/"), {}, 255);
  CHECK(hash.set_cookie == "sid=\"ff\"; Max-Age=60; Path=/; HttpOnly");
  CHECK(hash.value == http::xxhash64("ff"));
  const Hash again = hash_of(policies, get("/", {{"cookie", "sid=\"ff\""}}), {}, 7);
  CHECK(again.value == hash.value);
  CHECK(again.set_cookie.empty());
}

}  // namespace
}  // namespace mesh::waypoint::route
