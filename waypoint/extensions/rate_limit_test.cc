// A chain with the global rate limit: what the service is asked, and what its answers come to.
// Service and endpoint are one application here, told apart by the path.

#include <catch2/catch_test_macros.hpp>

#include "envoy/service_ratelimit.pb.h"
#include "mesh/grpc/framing.h"
#include "waypoint/extensions/rate_limit.h"
#include "waypoint/test_world.h"

namespace mesh::waypoint::test {
namespace {

using namespace std::chrono_literals;
namespace limit = envoy::service::ratelimit::v3;
using Kind = config::RateLimitAction::Kind;

struct Service {
  limit::RateLimitResponse answer;
  std::string raw = {};
  h2::Headers trailers = {{"grpc-status", "0"}};
  limit::RateLimitRequest asked;
  int questions = 0;
  http::Request arrived;
  int arrivals = 0;
};

io::Task<void> serve(wire::ServerStream& stream, Service& service) {
  http::Request request = stream.take_request();
  const std::string body = co_await wire::test::read_all(stream);
  if (request.path != "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit") {
    ++service.arrivals;
    service.arrived = std::move(request);
    (void)co_await stream.respond({.status = 200, .headers = {}}, true);
    co_return;
  }
  ++service.questions;
  (void)service.asked.ParseFromString(body.substr(std::min<std::size_t>(5, body.size())));
  wire::Response head{.status = 200, .headers = {{"content-type", "application/grpc"}}};
  (void)co_await stream.respond(std::move(head), false);
  const std::string said =
      service.raw.empty() ? grpc::frame_message(service.answer.SerializeAsString()) : service.raw;
  (void)co_await stream.write(bytes(said));
  (void)co_await stream.finish(service.trailers);
}

struct LimitWorld : World {
  Service service;
  config::RateLimitService filter{.domain = "shop", .cluster = "cart", .timeout = 2s};

  LimitWorld() {
    application.handler.serve = [this](wire::ServerStream& stream) {
      return serve(stream, service);
    };
    application.version = wire::Version::kHttp2;
    cluster.http.version = config::Http::Version::kHttp2;
    service.answer.set_overall_code(limit::RateLimitResponse::OK);
    forward.rate_limits = {{.actions = {{.kind = Kind::kGenericKey, .value = "all"}}}};
  }
  static io::Task<void> ask_into(World& world, http::Request request, Answer& answer) {
    answer = co_await ask(world, std::move(request));
  }
  Answer answer_to(http::Request request = {.method = "GET", .path = "/a", .headers = {}}) {
    chain.filters.push_back({.name = "limit", .settings = filter});
    use();
    Answer answer;
    run(ask_into(*this, std::move(request), answer));
    return answer;
  }
};

std::string told(const limit::RateLimitRequest& asked) {
  std::string text = asked.domain() + ":";
  for (const auto& descriptor : asked.descriptors()) {
    text += " [";
    for (const auto& entry : descriptor.entries()) text += entry.key() + "=" + entry.value() + ";";
    text += "]";
  }
  return text;
}

TEST_CASE("rate limit: every action makes its entry, and one that yields nothing its descriptor") {
  LimitWorld world;
  world.forward.rate_limits = {
      {.actions = {{.kind = Kind::kSourceCluster},
                   {.kind = Kind::kDestinationCluster},
                   {.kind = Kind::kRemoteAddress},
                   {.kind = Kind::kMaskedRemoteAddress, .mask_v4 = 8}}},
      {.actions = {{.kind = Kind::kRequestHeader, .key = "user", .header = "x-user"},
                   {.kind = Kind::kGenericKey, .key = "k", .value = "v"}}},
      {.actions = {{.kind = Kind::kRequestHeader, .key = "none", .header = "x-none"}}},
      {.actions = {{.kind = Kind::kHeaderValueMatch,
                    .value = "gets",
                    .headers = {{.name = ":method", .text = config::StringMatch::exact("GET")}}}}},
      {.actions = {{.kind = Kind::kMetadata,
                    .key = "plan",
                    .value = "free",
                    .metadata = {"envoy.filters.http.ext_authz", "plan"}}}},
      {.stage = 1, .actions = {{.kind = Kind::kGenericKey, .value = "later"}}}};
  CHECK(world.answer_to({.method = "GET", .path = "/a", .headers = {{"x-user", "ann"}}}).status ==
        200);
  CHECK(told(world.service.asked) ==
        "shop: [source_cluster=waypoint.shop;destination_cluster=cart;remote_address=127.0.0.1;"
        "masked_remote_address=127.0.0.0/8;] [user=ann;k=v;] [header_match=gets;] [plan=free;]");
}

TEST_CASE("rate limit: what a route says of it in place of the filter, its rules and its host's") {
  using OfHost = config::RateLimitOverride::OfHost;
  const auto rule = [](const char* name) {
    return config::RateLimitDescriptor{.actions = {{.kind = Kind::kGenericKey, .value = name}}};
  };
  struct Row {
    std::optional<config::RateLimitOverride> own;
    bool route_has, include;
    const char* told;
  };
  const Row rows[] = {
      {std::nullopt, true, false, "shop: [generic_key=route;]"},
      {std::nullopt, false, false, "shop: [generic_key=host;]"},
      {std::nullopt, true, true, "shop: [generic_key=route;] [generic_key=host;]"},
      {{{.domain = "other"}}, true, false, "other: [generic_key=route;]"},
      {{{.of_host = OfHost::kOverride}}, false, false, "shop: [generic_key=host;]"},
      {{{.of_host = OfHost::kInclude}},
       true,
       false,
       "shop: [generic_key=route;] [generic_key=host;]"},
      {{{.of_host = OfHost::kIgnore}}, true, false, "shop: [generic_key=route;]"},
      {{{.of_host = OfHost::kIgnore}}, false, false, ":"},
      {{{.of_host = OfHost::kIgnore}},
       true,
       true,
       "shop: [generic_key=route;] [generic_key=host;]"},
      {{{.domain = "own", .of_host = OfHost::kInclude, .rules = {rule("own")}}},
       true,
       true,
       "own: [generic_key=own;]"},
  };
  for (const Row& row : rows) {
    LimitWorld world;
    world.forward.rate_limits.clear();
    if (row.route_has) world.forward.rate_limits = {rule("route")};
    world.forward.include_virtual_host_rate_limits = row.include;
    config::Route route = world.route;
    route.action = world.forward;
    route.overrides.rate_limit = row.own;
    config::VirtualHost host;
    host.domains = {"*"};
    host.rate_limits = {rule("host")};
    host.routes = {std::make_shared<const config::Route>(std::move(route))};
    world.routes.hosts = {std::move(host)};
    INFO(row.told);
    CHECK(world.answer_to().status == 200);
    CHECK(told(world.service.asked) == row.told);
  }
}

TEST_CASE("rate limit: over is a 429 with what the service says of it") {
  LimitWorld world;
  world.service.answer.set_overall_code(limit::RateLimitResponse::OVER_LIMIT);
  auto* header = world.service.answer.add_response_headers_to_add();
  header->set_key("X-Wait");
  header->set_value("7");
  header = world.service.answer.add_response_headers_to_add();
  header->set_key("content-length");
  header->set_value("7");
  world.service.answer.set_raw_body("later");
  auto* status = world.service.answer.add_statuses();
  status->mutable_current_limit()->set_requests_per_unit(10);
  status->mutable_current_limit()->set_unit(limit::RateLimitResponse::RateLimit::MINUTE);
  status->mutable_duration_until_reset()->set_seconds(30);
  world.filter.ratelimit_headers = true;
  world.filter.response_headers = {{"x-own", "1"}};
  const Answer answer = world.answer_to();
  CHECK(answer.status == 429);
  CHECK(answer.body == "later");
  CHECK(h2::find_header(answer.headers, "x-envoy-ratelimited") == "true");
  CHECK(h2::find_header(answer.headers, "x-wait") == "7");
  CHECK(h2::find_header(answer.headers, "content-length") == "5");
  CHECK(h2::find_header(answer.headers, "x-own") == "1");
  CHECK(h2::find_header(answer.headers, "x-ratelimit-limit") == "10, 10;w=60");
  CHECK(h2::find_header(answer.headers, "x-ratelimit-remaining") == "0");
  CHECK(h2::find_header(answer.headers, "x-ratelimit-reset") == "30");
  CHECK(world.service.arrivals == 0);
  CHECK(world.kept.last().flags.to_string() == "RL");
  CHECK(world.kept.last().details == "request_rate_limited");
}

TEST_CASE("rate limit: gRPC callers are told in their own words") {
  for (const bool exhausted : {false, true}) {
    LimitWorld world;
    world.service.answer.set_overall_code(limit::RateLimitResponse::OVER_LIMIT);
    world.filter.grpc_resource_exhausted = exhausted;
    world.filter.disable_x_envoy_ratelimited = true;
    const Answer answer = world.answer_to(
        {.method = "POST", .path = "/s/m", .headers = {{"content-type", "application/grpc"}}});
    CHECK(answer.status == 200);
    CHECK(h2::find_header(answer.headers, "grpc-status") == (exhausted ? "8" : "14"));
    CHECK_FALSE(h2::find_header(answer.headers, "x-envoy-ratelimited"));
  }
}

TEST_CASE("rate limit: within, the request goes on with what the service adds") {
  LimitWorld world;
  auto* header = world.service.answer.add_request_headers_to_add();
  header->set_key("x-plan");
  header->set_value("free");
  header = world.service.answer.add_response_headers_to_add();
  header->set_key("x-left");
  header->set_value("3");
  const Answer answer = world.answer_to();
  CHECK(answer.status == 200);
  CHECK(h2::find_header(answer.headers, "x-left") == "3");
  CHECK(http::header_text(world.service.arrived.headers, "x-plan").text() == "free");
}

TEST_CASE("rate limit: without descriptors nobody is asked") {
  LimitWorld world;
  world.forward.rate_limits = {
      {.actions = {{.kind = Kind::kRequestHeader, .key = "a", .header = "x-a"}}}};
  CHECK(world.answer_to().status == 200);
  CHECK(world.service.questions == 0);
}

TEST_CASE("rate limit: a service that does not answer lets through, or not, as asked") {
  using Change = void (*)(LimitWorld&);
  const std::pair<const char*, Change> kCases[] = {
      {"no code", [](LimitWorld& w) { w.service.answer.Clear(); }},
      {"garbage", [](LimitWorld& w) { w.service.raw = "\xff\xff\xff\xff\xff"; }},
      {"no message",
       [](LimitWorld& w) { w.service.raw = grpc::frame_message("\x0a\xff\xff\xff"); }},
      {"a bad status", [](LimitWorld& w) { w.service.trailers = {{"grpc-status", "2"}}; }},
      {"huge", [](LimitWorld& w) { w.service.answer.set_raw_body(std::string(70'000, 'x')); }},
      {"nobody", [](LimitWorld& w) { w.filter.cluster = "gone"; }},
  };
  for (const auto& [what, change] : kCases) {
    for (const bool deny : {false, true}) {
      INFO(what << (deny ? ", closed" : ", open"));
      LimitWorld world;
      change(world);
      world.filter.failure_mode_deny = deny;
      CHECK(world.answer_to().status == (deny ? 500 : 200));
      CHECK(world.service.arrivals == (deny ? 0 : 1));
      CHECK(world.kept.last().flags.to_string() == (deny ? "RLSE" : "-"));
    }
  }
}

}  // namespace
}  // namespace mesh::waypoint::test
