#include "waypoint/balance/retry.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::waypoint::balance {
namespace {

using namespace std::chrono_literals;
using config::RetryPolicy;

const http::Request kRequest = {.method = "GET", .authority = "a", .path = "/", .headers = {}};

TEST_CASE("an answer is tried again on the conditions of the policy") {
  struct Row {
    RetryPolicy policy;
    int status;
    h2::Headers headers;
    bool wanted;
  };
  for (const Row& row : {
           Row{{}, 503, {}, false},
           Row{{.on_5xx = true}, 500, {}, true},
           Row{{.on_5xx = true}, 499, {}, false},
           Row{{.on_5xx = true}, 503, {{"x-envoy-overloaded", "true"}}, false},
           Row{{.on_5xx = true}, 503, {{"x-envoy-ratelimited", "true"}}, false},
           Row{{.on_envoy_ratelimited = true}, 429, {{"x-envoy-ratelimited", "true"}}, true},
           Row{{.on_gateway_error = true}, 500, {}, false},
           Row{{.on_gateway_error = true}, 502, {}, true},
           Row{{.on_retriable_4xx = true}, 409, {}, true},
           Row{{.on_retriable_4xx = true}, 404, {}, false},
           Row{{.on_retriable_status_codes = true, .status_codes = {503, 429}}, 429, {}, true},
           Row{{.on_retriable_status_codes = true, .status_codes = {503}}, 429, {}, false},
           Row{{.status_codes = {503}}, 503, {}, false},
           Row{{.on_retriable_headers = true,
                .response_headers = {{.name = "x", .text = config::StringMatch::exact("1")}}},
               200,
               {{"x", "1"}},
               true},
           Row{{.on_grpc_unavailable = true}, 200, {{"grpc-status", "14"}}, true},
           Row{{.on_grpc_unavailable = true}, 200, {{"grpc-status", "13"}}, false},
           Row{{.on_grpc_cancelled = true}, 200, {{"grpc-status", "1"}}, true},
           Row{{.on_grpc_deadline_exceeded = true}, 200, {{"grpc-status", "4"}}, true},
           Row{{.on_grpc_resource_exhausted = true}, 200, {{"grpc-status", "8"}}, true},
           Row{{.on_grpc_internal = true}, 200, {{"grpc-status", "13"}}, true},
           Row{{.on_grpc_internal = true}, 200, {{"grpc-status", "x"}}, false},
       }) {
    INFO(row.status);
    CHECK(Retry(&row.policy, kRequest).wants(row.status, row.headers) == row.wanted);
  }
}

TEST_CASE("a try without an answer is tried again on the conditions of the policy") {
  using enum TryFailure;
  struct Row {
    RetryPolicy policy;
    TryFailure failure;
    bool wanted;
  };
  for (const Row& row : {
           Row{{.on_5xx = true}, kConnectFailure, true},
           Row{{.on_5xx = true}, kReset, true},
           Row{{.on_5xx = true}, kTryTimeout, true},
           Row{{.on_5xx = true}, kOverflow, false},
           Row{{.on_reset = true}, kReset, true},
           Row{{.on_connect_failure = true}, kConnectFailure, true},
           Row{{.on_connect_failure = true}, kReset, false},
           Row{{.on_refused_stream = true}, kRefusedStream, true},
           Row{{.on_refused_stream = true}, kConnectFailure, false},
           Row{{.on_reset_before_request = true}, kResetBeforeRequest, true},
           Row{{.on_reset_before_request = true}, kReset, false},
           Row{{.on_gateway_error = true}, kTryTimeout, true},
           Row{{.on_connect_failure = true}, kTryTimeout, false},
       }) {
    CHECK(Retry(&row.policy, kRequest).wants(row.failure) == row.wanted);
  }
  CHECK_FALSE(Retry(nullptr, kRequest).wants(kConnectFailure));
}

TEST_CASE("tries are counted, and the wait doubles up to its maximum") {
  const RetryPolicy policy{.on_5xx = true, .retries = 6};
  http::Dice dice(1);
  const std::chrono::milliseconds windows[] = {25ms, 50ms, 100ms, 200ms, 250ms, 250ms};
  for (int round = 0; round < 200; ++round) {
    Retry retry(&policy, kRequest);
    for (const auto window : windows) {
      const auto wait = retry.next(nullptr, {}, dice);
      REQUIRE(wait);
      CHECK((*wait >= 0ns && *wait < window));
    }
    CHECK(retry.attempt() == 7);
    CHECK_FALSE(retry.next(nullptr, {}, dice).has_value());
  }
}

TEST_CASE("a wait that is a minimum is never less") {
  const RetryPolicy policy{.on_5xx = true,
                           .retries = 3,
                           .backoff_base = 100ms,
                           .backoff_max = 300ms,
                           .backoff_is_minimum = true};
  http::Dice dice(1);
  for (int round = 0; round < 200; ++round) {
    Retry retry(&policy, kRequest);
    for (const auto least : {100ms, 200ms, 300ms}) {
      const auto wait = *retry.next(nullptr, {}, dice);
      CHECK((wait >= least && wait <= least + least / 2));
    }
  }
}

TEST_CASE("a server that says how long to wait is believed, within the maximum") {
  const RetryPolicy policy{.on_5xx = true,
                           .retries = 10,
                           .rate_limited_headers = {{.name = "retry-after"},
                                                    {.name = "x-reset", .unix_timestamp = true}}};
  http::Dice dice(1);
  const std::chrono::sys_seconds now{1'000s};
  Retry retry(&policy, kRequest);
  const auto wait = [&](h2::Headers headers) { return *retry.next(&headers, now, dice); };
  const auto seconds = wait({{"retry-after", "2"}});
  CHECK((seconds >= 2s && seconds <= 3s));
  const auto stamp = wait({{"x-reset", "1010"}});
  CHECK((stamp >= 10s && stamp <= 15s));
  CHECK(wait({{"retry-after", "301"}}) < 1s);
  CHECK(wait({{"retry-after", "Fri, 31 Dec 1999 23:59:59 GMT"}}) < 1s);
  CHECK(wait({{"x-reset", "999"}}) < 1s);
}

TEST_CASE("a policy may be for some requests only") {
  const RetryPolicy policy{
      .on_5xx = true,
      .request_headers = {{.name = ":method", .text = config::StringMatch::exact("GET")}}};
  CHECK(Retry(&policy, kRequest).wants(500, {}));
  http::Request post = kRequest;
  post.method = "POST";
  CHECK_FALSE(Retry(&policy, post).wants(500, {}));
}

}  // namespace
}  // namespace mesh::waypoint::balance
