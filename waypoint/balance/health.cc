#include "waypoint/balance/health.h"

#include <algorithm>

namespace mesh::waypoint::balance {

using std::chrono::milliseconds;

bool HostHealth::record(CheckResult result, const config::HealthCheck& check) {
  const bool was_failed = failed_, was_degraded = degraded_, was_known = known_;
  last_passed_ = result == CheckResult::kPass || result == CheckResult::kDegraded;
  pending_ = false;
  if (last_passed_) {
    failures_ = 0;
    if (failed_) {
      if (!known_ || ++passes_ >= check.healthy_threshold) {
        failed_ = false;
        passes_ = 0;
      } else {
        pending_ = true;
      }
    }
    degraded_ = result == CheckResult::kDegraded;
  } else {
    passes_ = 0;
    if (!failed_) {
      if (result == CheckResult::kWrongAnswer || ++failures_ >= check.unhealthy_threshold) {
        failed_ = true;
        failures_ = 0;
      } else {
        pending_ = true;
      }
    }
  }
  known_ = true;
  return !was_known || failed_ != was_failed || degraded_ != was_degraded;
}

milliseconds HostHealth::first_wait(const config::HealthCheck& check, http::Dice& dice) {
  const auto most =
      static_cast<std::uint64_t>(std::max<std::int64_t>(check.initial_jitter.count(), 0));
  return milliseconds(most == 0 ? 0 : static_cast<std::int64_t>(dice.below(most)));
}

milliseconds HostHealth::wait(const config::HealthCheck& check, bool used, http::Dice& dice) const {
  milliseconds base = check.interval;
  if (!used) {
    base =
        last_passed_ && !pending_ ? check.no_traffic_healthy_interval : check.no_traffic_interval;
  } else if (last_passed_) {
    base = pending_ ? check.healthy_edge_interval : check.interval;
  } else {
    base = pending_ ? check.unhealthy_edge_interval : check.unhealthy_interval;
  }
  const auto some = [&dice](std::int64_t most) {
    return most <= 0 ? 0 : static_cast<std::int64_t>(dice.below(static_cast<std::uint64_t>(most)));
  };
  base += milliseconds(some(base.count() * check.jitter_percent / 100));
  return base + milliseconds(some(check.jitter.count()));
}

CheckResult result_of_check(int status, bool degraded, const config::HealthCheck& check) {
  const auto within = [status](const std::vector<config::HealthCheck::Statuses>& ranges) {
    return std::ranges::any_of(
        ranges, [status](const auto& range) { return status >= range.from && status < range.to; });
  };
  const bool expected = check.expected.empty() ? status == 200 : within(check.expected);
  if (expected) return degraded ? CheckResult::kDegraded : CheckResult::kPass;
  return within(check.retriable) ? CheckResult::kNoAnswer : CheckResult::kWrongAnswer;
}

}  // namespace mesh::waypoint::balance
