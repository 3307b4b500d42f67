#include "waypoint/limits/local_limit.h"

#include <cmath>

#include <catch2/catch_test_macros.hpp>

namespace mesh::waypoint::limits {
namespace {

using namespace std::chrono_literals;
constexpr config::Fraction kAlways = {.numerator = 100, .denominator = 100};

TEST_CASE("a bucket is full at first and refills by whole intervals") {
  TokenBucket bucket({.max_tokens = 3, .tokens_per_fill = 2, .fill_interval = 100ms}, 0ns);
  for (int i = 0; i < 3; ++i) CHECK(bucket.take(0ns));
  CHECK_FALSE(bucket.take(99ms));
  CHECK(bucket.wait(99ms) == 1ms);
  CHECK(bucket.take(100ms));
  CHECK(bucket.take(100ms));
  CHECK_FALSE(bucket.take(199ms));
  CHECK(bucket.tokens(std::chrono::hours(24 * 365)) == 3);
  CHECK(bucket.wait(std::chrono::hours(24 * 365)) == 0ns);
}

TEST_CASE("over a minute a bucket lets through its rate and its burst, whatever the pace") {
  for (const Time step : {Time(1ms), Time(7ms), Time(130ms)}) {
    TokenBucket bucket({.max_tokens = 10, .tokens_per_fill = 1, .fill_interval = 200ms}, 0ns);
    int passed = 0;
    for (Time now{0}; now < 60s; now += step) passed += bucket.take(now) ? 1 : 0;
    CHECK(std::abs(passed - (10 + 300)) <= 1);
  }
}

TEST_CASE("a limit that is not enabled is off, one that is not enforced is noted") {
  config::LocalRateLimit settings{.bucket =
                                      config::TokenBucket{.max_tokens = 1, .fill_interval = 1s}};
  http::Dice dice(1);
  LocalLimiter off(settings, 0ns);
  CHECK(off.decide({}, 0ns, dice) == LimitResult::kOff);
  settings.enabled = kAlways;
  LocalLimiter noted(settings, 0ns);
  CHECK(noted.decide({}, 0ns, dice) == LimitResult::kWithin);
  CHECK(noted.decide({}, 0ns, dice) == LimitResult::kOverNoted);
  settings.enforced = kAlways;
  LocalLimiter on(settings, 0ns);
  CHECK(on.decide({}, 0ns, dice) == LimitResult::kWithin);
  CHECK(on.decide({}, 0ns, dice) == LimitResult::kOver);
  CHECK(on.decide({}, 1s, dice) == LimitResult::kWithin);
}

TEST_CASE("a descriptor has a bucket of its own") {
  const config::LocalRateLimit settings{
      .bucket = config::TokenBucket{.max_tokens = 3, .fill_interval = 1h},
      .enabled = kAlways,
      .enforced = kAlways,
      .descriptors = {
          {.entries = {{"user", "ann"}}, .bucket = {.max_tokens = 1, .fill_interval = 1h}}}};
  LocalLimiter limiter(settings, 0ns);
  http::Dice dice(1);
  const std::vector<Descriptor> ann = {{{"user", "ann"}}};
  const std::vector<Descriptor> bob = {{{"user", "bob"}}};
  CHECK(limiter.decide(ann, 0ns, dice) == LimitResult::kWithin);
  CHECK(limiter.decide(ann, 0ns, dice) == LimitResult::kOver);
  CHECK(limiter.decide(bob, 0ns, dice) == LimitResult::kWithin);
  CHECK(limiter.decide(bob, 0ns, dice) == LimitResult::kWithin);
  CHECK(limiter.decide(bob, 0ns, dice) == LimitResult::kOver);
}

TEST_CASE("an action that yields nothing drops its descriptor") {
  using Kind = config::RateLimitAction::Kind;
  const http::Request request{
      .method = "GET", .authority = "a", .path = "/", .headers = {{"x-user", "ann"}}};
  const DescriptorContext context{.request = &request,
                                  .remote = *net::IpAddress::parse("10.0.0.1"),
                                  .source_cluster = "s",
                                  .destination_cluster = "d"};
  const std::vector<config::RateLimitDescriptor> rules = {
      {.actions = {{.kind = Kind::kSourceCluster}, {.kind = Kind::kDestinationCluster}}},
      {.actions = {{.kind = Kind::kRequestHeader, .key = "user", .header = "x-user"},
                   {.kind = Kind::kRemoteAddress}}},
      {.actions = {{.kind = Kind::kGenericKey, .value = "v"},
                   {.kind = Kind::kRequestHeader, .key = "k", .header = "x-none"}}},
      {.actions = {{.kind = Kind::kGenericKey, .value = "v"},
                   {.kind = Kind::kRequestHeader,
                    .key = "k",
                    .header = "x-none",
                    .skip_if_absent = true}}},
      {.actions = {{.kind = Kind::kHeaderValueMatch,
                    .value = "m",
                    .headers = {{.name = "x-user", .text = config::StringMatch::exact("ann")}}}}},
      {.actions = {{.kind = Kind::kHeaderValueMatch,
                    .value = "m",
                    .headers = {{.name = "x-user", .text = config::StringMatch::exact("bob")}}}}},
      {.stage = 1, .actions = {{.kind = Kind::kGenericKey, .value = "other"}}},
  };
  CHECK(descriptors(rules, 0, context) ==
        std::vector<Descriptor>{{{"source_cluster", "s"}, {"destination_cluster", "d"}},
                                {{"user", "ann"}, {"remote_address", "10.0.0.1"}},
                                {{"generic_key", "v"}},
                                {{"header_match", "m"}}});
}

TEST_CASE("a fault is for those it names, as often as it says") {
  const config::Fault fault{
      .delay = config::Fault::Delay{.fixed = 5ms, .percentage = kAlways},
      .abort = config::Fault::Abort{.http_status = 503,
                                    .percentage = {.numerator = 30, .denominator = 100}},
      .headers = {{.name = "x-user", .text = config::StringMatch::exact("ann")}},
      .max_active = 2};
  http::Request request{.method = "GET", .authority = "a", .path = "/", .headers = {}};
  http::Dice dice(1);
  CHECK_FALSE(decide_fault(fault, request, "c", 0, dice).delay.has_value());
  request.headers = {{"x-user", "ann"}};
  CHECK(decide_fault(fault, request, "c", 0, dice).delay == 5ms);
  CHECK_FALSE(decide_fault(fault, request, "c", 2, dice).delay.has_value());
  int aborted = 0;
  for (int i = 0; i < 10'000; ++i) {
    aborted += decide_fault(fault, request, "c", 0, dice).abort_status == 503 ? 1 : 0;
  }
  CHECK(std::abs(aborted - 3'000) < 250);
}

TEST_CASE("a header harms only where that is configured, and not more often") {
  http::Request request{.method = "GET", .authority = "a", .path = "/", .headers = {}};
  request.headers = {{"x-envoy-fault-abort-request", "418"}, {"x-envoy-fault-delay-request", "7"}};
  http::Dice dice(1);
  const config::Fault fixed{.abort =
                                config::Fault::Abort{.http_status = 500, .percentage = kAlways}};
  CHECK(decide_fault(fixed, request, "c", 0, dice).abort_status == 500);
  config::Fault open{.delay = config::Fault::Delay{.from_header = true, .percentage = kAlways},
                     .abort = config::Fault::Abort{.from_header = true, .percentage = kAlways}};
  CHECK(decide_fault(open, request, "c", 0, dice).abort_status == 418);
  CHECK(decide_fault(open, request, "c", 0, dice).delay == 7ms);
  request.headers.push_back({"x-envoy-fault-abort-request-percentage", "0"});
  CHECK(decide_fault(open, request, "c", 0, dice).abort_status == 0);
  open.abort->percentage = {};
  request.headers.back().value = "100";
  CHECK(decide_fault(open, request, "c", 0, dice).abort_status == 0);
  request.headers = {{"x-envoy-fault-abort-grpc-request", "14"}};
  open.abort->percentage = kAlways;
  CHECK(decide_fault(open, request, "c", 0, dice).abort_grpc == 14);
  request.headers = {{"x-envoy-fault-abort-request", "99"}};
  CHECK(decide_fault(open, request, "c", 0, dice).abort_status == 0);
}

}  // namespace
}  // namespace mesh::waypoint::limits
