#include "waypoint/balance/outlier.h"

#include <catch2/catch_test_macros.hpp>

#include "waypoint/balance/breaker.h"

namespace mesh::waypoint::balance {
namespace {

using namespace std::chrono_literals;
using enum HostResult;

std::vector<std::string> names(int count) {
  std::vector<std::string> hosts;
  for (int i = 0; i < count; ++i) hosts.push_back("h" + std::to_string(100 + i));
  return hosts;
}

OutlierDetector detector(config::OutlierDetection settings, int hosts) {
  OutlierDetector made(settings);
  made.set_hosts(names(hosts));
  return made;
}

std::size_t record(OutlierDetector& of, std::string_view host, HostResult result, int times,
                   Time now = 0s) {
  http::Dice dice(1);
  std::size_t ejections = 0;
  for (int i = 0; i < times; ++i) ejections += of.record(host, result, now, dice).size();
  return ejections;
}

TEST_CASE("five server errors in a row eject, four and a success do not") {
  auto of = detector({}, 10);
  CHECK(record(of, "h100", kServerError, 4) == 0);
  CHECK(record(of, "h100", kSuccess, 1) == 0);
  CHECK(record(of, "h100", kServerError, 4) == 0);
  CHECK(record(of, "h100", kServerError, 1) == 1);
  CHECK(of.is_ejected("h100"));
  CHECK(record(of, "unknown", kServerError, 10) == 0);
}

TEST_CASE("no more than the percentage are ejected, and one only if asked for") {
  auto few = detector({}, 9);  // one of nine is more than 10 %
  CHECK(record(few, "h100", kServerError, 20) == 0);
  auto one = detector({.always_eject_one = true}, 9);
  CHECK(record(one, "h100", kServerError, 5) == 1);
  CHECK(record(one, "h101", kServerError, 20) == 0);
  auto half = detector({.max_ejection_percent = 50}, 4);
  CHECK(record(half, "h100", kServerError, 5) == 1);
  CHECK(record(half, "h101", kServerError, 5) == 1);
  CHECK(record(half, "h102", kServerError, 5) == 0);
  CHECK(half.ejected() == 2);
}

TEST_CASE("gateway errors count apart, and only where that is enforced") {
  auto off = detector({.consecutive_5xx = 100}, 10);
  CHECK(record(off, "h100", kGatewayError, 10) == 0);
  auto on = detector({.consecutive_5xx = 100, .enforce_gateway = 100}, 10);
  CHECK(record(on, "h100", kGatewayError, 4) == 0);
  CHECK(record(on, "h100", kServerError, 1) == 0);  // begins anew
  CHECK(record(on, "h100", kGatewayError, 4) == 0);
  CHECK(record(on, "h100", kGatewayError, 1) == 1);
}

TEST_CASE("failures to connect are 503s, unless they are split off") {
  auto whole = detector({}, 10);
  CHECK(record(whole, "h100", kLocalFailure, 5) == 1);
  auto split = detector({.enforce_5xx = 0, .split_local = true}, 10);
  CHECK(record(split, "h100", kLocalFailure, 4) == 0);
  CHECK(record(split, "h100", kLocalSuccess, 1) == 0);
  CHECK(record(split, "h100", kLocalFailure, 5) == 1);
}

TEST_CASE("an ejection lasts longer each time, up to the maximum, and is forgiven") {
  auto of = detector({.max_ejection = 70s}, 10);
  http::Dice dice(1);
  const auto eject_at = [&](Time now) { return record(of, "h100", kServerError, 5, now) == 1; };
  REQUIRE(eject_at(0s));
  CHECK(of.tick(29s, dice).empty());
  CHECK(of.tick(30s, dice).size() == 1);
  REQUIRE(eject_at(31s));
  CHECK(of.tick(90s, dice).empty());
  CHECK(of.tick(91s, dice).size() == 1);
  REQUIRE(eject_at(100s));
  CHECK(of.tick(169s, dice).empty());
  CHECK(of.tick(170s, dice).size() == 1);           // not 90 s, but the maximum
  for (int i = 0; i < 3; ++i) of.tick(180s, dice);  // healthy intervals
  REQUIRE(eject_at(200s));
  CHECK(of.tick(230s, dice).size() == 1);
}

TEST_CASE("a success rate far below the others' ejects") {
  auto of = detector({.consecutive_5xx = 1000, .max_ejection_percent = 20}, 10);
  http::Dice dice(1);
  for (const std::string& host : names(10)) record(of, host, kSuccess, 100);
  record(of, "h100", kServerError, 100);
  const auto ejections = of.tick(10s, dice);
  REQUIRE(ejections.size() == 1);
  CHECK(ejections[0].host == "h100");
  CHECK(cause_name(ejections[0].cause) == "success_rate");
  // Too few requests, then too few hosts.
  auto quiet = detector({.consecutive_5xx = 1000}, 10);
  for (const std::string& host : names(10)) record(quiet, host, kSuccess, 49);
  record(quiet, "h100", kServerError, 50);
  CHECK(quiet.tick(10s, dice).empty());
  auto small = detector({.consecutive_5xx = 1000, .max_ejection_percent = 100}, 4);
  for (const std::string& host : names(4)) record(small, host, kSuccess, 100);
  record(small, "h100", kServerError, 100);
  CHECK(small.tick(10s, dice).empty());
}

TEST_CASE("a failure percentage ejects where it is enforced") {
  auto of =
      detector({.consecutive_5xx = 1000, .enforce_success_rate = 0, .enforce_failure = 100}, 10);
  http::Dice dice(1);
  for (const std::string& host : names(10)) record(of, host, kSuccess, 50);
  of.tick(10s, dice);
  for (const std::string& host : names(10)) record(of, host, kSuccess, 10);
  for (const std::string& host : names(10)) record(of, host, kServerError, 40);
  CHECK(of.tick(20s, dice).empty());  // 80 %
  for (const std::string& host : names(10)) record(of, host, kSuccess, 50);
  record(of, "h105", kServerError, 450);
  const auto ejections = of.tick(30s, dice);
  REQUIRE(ejections.size() == 1);
  CHECK(ejections[0].host == "h105");
  CHECK(ejections[0].cause == EjectionCause::kFailurePercentage);
}

TEST_CASE("hosts that go are forgotten, and a passed check brings one back") {
  auto of = detector({}, 10);
  REQUIRE(record(of, "h100", kServerError, 5) == 1);
  CHECK(of.passed_check("h100").size() == 1);
  REQUIRE(record(of, "h100", kServerError, 5) == 1);
  auto rest = names(10);
  rest.erase(rest.begin());
  of.set_hosts(rest);
  CHECK(of.ejected() == 0);
  CHECK_FALSE(of.is_ejected("h100"));
}

TEST_CASE("a breaker counts each kind for itself") {
  using What = Breaker::What;
  Breaker breaker({.max_connections = 1, .max_pending = 2, .max_requests = 3, .max_retries = 1});
  CHECK(breaker.acquire(What::kConnection));
  CHECK_FALSE(breaker.acquire(What::kConnection));
  CHECK(breaker.overflows(What::kConnection) == 1);
  breaker.release(What::kConnection);
  CHECK(breaker.acquire(What::kConnection));
  CHECK(breaker.acquire(What::kPending));
  CHECK(breaker.acquire(What::kRetry));
  CHECK_FALSE(breaker.acquire(What::kRetry));
  breaker.release(What::kRequest);  // nothing to give back
  CHECK(breaker.now(What::kRequest) == 0);
}

TEST_CASE("a retry budget is a share of what is under way") {
  using What = Breaker::What;
  Breaker breaker({.budget = config::CircuitBreaker::Budget{.percent = 20, .min_concurrency = 3}});
  CHECK(breaker.limit(What::kRetry) == 3);
  for (int i = 0; i < 50; ++i) REQUIRE(breaker.acquire(What::kRequest));
  CHECK(breaker.limit(What::kRetry) == 10);
}

}  // namespace
}  // namespace mesh::waypoint::balance
