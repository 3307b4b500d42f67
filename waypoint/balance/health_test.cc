#include "waypoint/balance/health.h"

#include <catch2/catch_test_macros.hpp>
#include <string>
#include <string_view>

namespace mesh::waypoint::balance {
namespace {

using namespace std::chrono_literals;

config::HealthCheck thresholds(std::uint32_t healthy, std::uint32_t unhealthy) {
  config::HealthCheck check;
  check.healthy_threshold = healthy;
  check.unhealthy_threshold = unhealthy;
  return check;
}

// What becomes of a host: '+' passes, 'd' passes degraded, '-' no answer, '!' a wrong one; after
// each: H healthy, D degraded, U unhealthy.
std::string standing_after(std::string_view checks, const config::HealthCheck& how) {
  HostHealth health;
  std::string seen;
  for (const char c : checks) {
    health.record(c == '+'   ? CheckResult::kPass
                  : c == 'd' ? CheckResult::kDegraded
                  : c == '-' ? CheckResult::kNoAnswer
                             : CheckResult::kWrongAnswer,
                  how);
    seen.push_back(health.failed() ? 'U' : health.degraded() ? 'D' : 'H');
  }
  return seen;
}

TEST_CASE("thresholds decide, but for the first check and for wrong answers") {
  const struct {
    std::string_view checks, standing;
    std::uint32_t healthy, unhealthy;
  } rows[] = {
      {"+", "H", 3, 3},       {"-", "U", 3, 3},
      {"-+++", "UUUH", 3, 3}, {"-++-+++", "UUUUUUH", 3, 3},
      {"+---", "HHHU", 3, 3}, {"+--+--+---", "HHHHHHHHHU", 3, 3},
      {"+!", "HU", 3, 3},     {"!", "U", 1, 1},
      {"!+", "UH", 1, 1},     {"+-", "HU", 1, 1},
      {"+-!", "HHU", 1, 5},   {"d", "D", 2, 2},
      {"+d+", "HDH", 2, 2},   {"-dd", "UUD", 2, 2},
      {"+!++", "HUUH", 2, 2},
  };
  for (const auto& row : rows) {
    INFO(row.checks);
    CHECK(standing_after(row.checks, thresholds(row.healthy, row.unhealthy)) == row.standing);
  }
}

TEST_CASE("a change is told once, and the first finding always") {
  const auto how = thresholds(2, 2);
  HostHealth health;
  CHECK_FALSE(health.known());
  CHECK(health.failed());
  CHECK(health.record(CheckResult::kNoAnswer, how));  // it was found out
  CHECK(health.known());
  CHECK_FALSE(health.record(CheckResult::kNoAnswer, how));
  CHECK_FALSE(health.record(CheckResult::kPass, how));
  CHECK(health.record(CheckResult::kPass, how));
  CHECK_FALSE(health.record(CheckResult::kPass, how));
  CHECK(health.record(CheckResult::kDegraded, how));
  CHECK(health.record(CheckResult::kWrongAnswer, how));
}

TEST_CASE("the next check comes by what the last one said") {
  config::HealthCheck how = thresholds(2, 2);
  how.interval = 10ms;
  how.unhealthy_interval = 20ms;
  how.unhealthy_edge_interval = 30ms;
  how.healthy_edge_interval = 40ms;
  how.no_traffic_interval = 50ms;
  how.no_traffic_healthy_interval = 60ms;
  http::Dice dice(1);
  HostHealth health;
  health.record(CheckResult::kNoAnswer, how);  // unhealthy, as it was
  CHECK(health.wait(how, true, dice) == 20ms);
  CHECK(health.wait(how, false, dice) == 50ms);
  health.record(CheckResult::kPass, how);  // one of two
  CHECK(health.wait(how, true, dice) == 40ms);
  CHECK(health.wait(how, false, dice) == 50ms);
  health.record(CheckResult::kPass, how);
  CHECK(health.wait(how, true, dice) == 10ms);
  CHECK(health.wait(how, false, dice) == 60ms);
  health.record(CheckResult::kNoAnswer, how);  // one of two
  CHECK(health.wait(how, true, dice) == 30ms);
}

TEST_CASE("jitter lengthens, never shortens, and by no more than it may") {
  config::HealthCheck how;
  how.interval = 100ms;
  how.jitter = 10ms;
  how.jitter_percent = 50;
  how.initial_jitter = 1s;
  http::Dice dice(1);
  HostHealth health;
  health.record(CheckResult::kPass, how);
  std::chrono::milliseconds least = 1h, most{0}, first{0};
  for (int i = 0; i < 1000; ++i) {
    least = std::min(least, health.wait(how, true, dice));
    most = std::max(most, health.wait(how, true, dice));
    first = std::max(first, HostHealth::first_wait(how, dice));
  }
  CHECK(least >= 100ms);
  CHECK(least < 110ms);
  CHECK(most > 140ms);
  CHECK(most < 160ms);
  CHECK(first < 1s);
  CHECK(first > 900ms);
}

TEST_CASE("statuses: 200 unless told, others at once unless they are worth another look") {
  config::HealthCheck how;
  CHECK(result_of_check(200, false, how) == CheckResult::kPass);
  CHECK(result_of_check(200, true, how) == CheckResult::kDegraded);
  CHECK(result_of_check(204, false, how) == CheckResult::kWrongAnswer);
  CHECK(result_of_check(503, false, how) == CheckResult::kWrongAnswer);
  how.expected = {{204, 205}, {300, 400}};
  how.retriable = {{503, 504}};
  CHECK(result_of_check(200, false, how) == CheckResult::kWrongAnswer);
  CHECK(result_of_check(204, false, how) == CheckResult::kPass);
  CHECK(result_of_check(399, false, how) == CheckResult::kPass);
  CHECK(result_of_check(400, false, how) == CheckResult::kWrongAnswer);
  CHECK(result_of_check(503, false, how) == CheckResult::kNoAnswer);
}

}  // namespace
}  // namespace mesh::waypoint::balance
