#include "waypoint/balance/outlier.h"

#include <algorithm>
#include <cmath>

namespace mesh::waypoint::balance {

HostResult result_of_status(int status) {
  if (status == 502 || status == 503 || status == 504) return HostResult::kGatewayError;
  return status >= 500 ? HostResult::kServerError : HostResult::kSuccess;
}

std::string_view cause_name(EjectionCause cause) {
  switch (cause) {
    case EjectionCause::kConsecutive5xx:
      return "consecutive_5xx";
    case EjectionCause::kConsecutiveGateway:
      return "consecutive_gateway_failure";
    case EjectionCause::kConsecutiveLocal:
      return "consecutive_local_origin_failure";
    case EjectionCause::kSuccessRate:
      return "success_rate";
    case EjectionCause::kLocalSuccessRate:
      return "local_origin_success_rate";
    case EjectionCause::kFailurePercentage:
      return "failure_percentage";
    case EjectionCause::kLocalFailurePercentage:
      return "local_origin_failure_percentage";
  }
  return "unknown";
}

void OutlierDetector::set_hosts(std::span<const std::string> hosts) {
  Monitors kept;
  for (const std::string& host : hosts) {
    const auto found = monitors_.find(host);
    kept.emplace(host, found == monitors_.end() ? Monitor{} : found->second);
  }
  monitors_ = std::move(kept);
  ejected_ = static_cast<std::size_t>(
      std::ranges::count_if(monitors_, [](const auto& host) { return host.second.ejected; }));
}

bool OutlierDetector::is_ejected(std::string_view host) const {
  const auto found = monitors_.find(host);
  return found != monitors_.end() && found->second.ejected;
}

std::vector<Ejection> OutlierDetector::record(std::string_view host, HostResult result, Time now,
                                              http::Dice& dice) {
  std::vector<Ejection> caused;
  const auto found = monitors_.find(host);
  if (found == monitors_.end()) return caused;
  Monitor& monitor = found->second;
  switch (result) {
    case HostResult::kSuccess:
      monitor.external.add(true);
      monitor.in_a_row_5xx = 0;
      monitor.in_a_row_gateway = 0;
      // Who answers has been reached.
      monitor.in_a_row_local = 0;
      break;
    case HostResult::kGatewayError:
      record_external(*found, true, now, dice, caused);
      break;
    case HostResult::kServerError:
      record_external(*found, false, now, dice, caused);
      break;
    case HostResult::kLocalSuccess:
      monitor.local.add(true);
      monitor.in_a_row_local = 0;
      break;
    case HostResult::kLocalFailure:
      if (settings_.split_local) {
        record_local_failure(*found, now, dice, caused);
      } else {
        // Not told apart: a failure to connect counts as a 503.
        record_external(*found, true, now, dice, caused);
      }
      break;
  }
  return caused;
}

void OutlierDetector::record_external(Monitors::value_type& host, bool gateway, Time now,
                                      http::Dice& dice, std::vector<Ejection>& caused) {
  Monitor& monitor = host.second;
  monitor.external.add(false);
  if (!gateway) {
    monitor.in_a_row_gateway = 0;
  } else if (++monitor.in_a_row_gateway == settings_.consecutive_gateway) {
    eject(host, EjectionCause::kConsecutiveGateway, settings_.enforce_gateway, now, dice, caused);
    monitor.in_a_row_gateway = 0;
  }
  if (++monitor.in_a_row_5xx == settings_.consecutive_5xx) {
    eject(host, EjectionCause::kConsecutive5xx, settings_.enforce_5xx, now, dice, caused);
    monitor.in_a_row_5xx = 0;
  }
}

void OutlierDetector::record_local_failure(Monitors::value_type& host, Time now, http::Dice& dice,
                                           std::vector<Ejection>& caused) {
  host.second.local.add(false);
  if (++host.second.in_a_row_local != settings_.consecutive_local) return;
  eject(host, EjectionCause::kConsecutiveLocal, settings_.enforce_local, now, dice, caused);
  host.second.in_a_row_local = 0;
}

void OutlierDetector::eject(Monitors::value_type& host, EjectionCause cause, std::uint32_t enforce,
                            Time now, http::Dice& dice, std::vector<Ejection>& caused) {
  if (host.second.ejected || dice.below(100) >= enforce) return;
  // With this one, not more than the percentage; or else one, if that is asked for.
  const double percent =
      100.0 * static_cast<double>(ejected_ + 1) / static_cast<double>(monitors_.size());
  const bool fits =
      percent <= settings_.max_ejection_percent || (settings_.always_eject_one && ejected_ == 0);
  if (!fits) return;
  Monitor& monitor = host.second;
  monitor.ejected = true;
  monitor.since = now;
  ++monitor.times;
  monitor.jitter = Time(static_cast<Time::rep>(dice.below(Time(settings_.max_jitter).count() + 1)));
  ++ejected_;
  caused.push_back({.host = host.first, .ejected = true, .cause = cause});
}

void OutlierDetector::take_back(Monitors::value_type& host, std::vector<Ejection>& caused) {
  Monitor& monitor = host.second;
  monitor.ejected = false;
  monitor.in_a_row_5xx = 0;
  monitor.in_a_row_gateway = 0;
  monitor.in_a_row_local = 0;
  --ejected_;
  caused.push_back({.host = host.first, .ejected = false});
}

Time OutlierDetector::ejection_time(const Monitor& monitor) const {
  const Time base = settings_.base_ejection;
  const Time most = std::max(Time(settings_.max_ejection), base);
  // Compared by division, so that many ejections do not overflow.
  const auto fits = base.count() == 0 ? 0 : most / base;
  return (monitor.times > fits ? most : base * monitor.times) + monitor.jitter;
}

std::vector<Ejection> OutlierDetector::tick(Time now, http::Dice& dice) {
  std::vector<Ejection> caused;
  for (auto& host : monitors_) {
    Monitor& monitor = host.second;
    if (monitor.ejected) {
      if (now - monitor.since >= ejection_time(monitor)) take_back(host, caused);
    } else if (monitor.times > 0) {
      --monitor.times;
    }
  }
  judge_rates({.rate = &Monitor::external,
               .by_deviation = EjectionCause::kSuccessRate,
               .by_percentage = EjectionCause::kFailurePercentage,
               .enforce_deviation = settings_.enforce_success_rate,
               .enforce_percentage = settings_.enforce_failure},
              now, dice, caused);
  judge_rates({.rate = &Monitor::local,
               .by_deviation = EjectionCause::kLocalSuccessRate,
               .by_percentage = EjectionCause::kLocalFailurePercentage,
               .enforce_deviation = settings_.enforce_local_success_rate,
               .enforce_percentage = settings_.enforce_local_failure},
              now, dice, caused);
  for (auto& [key, monitor] : monitors_) {
    monitor.external = {};
    monitor.local = {};
  }
  return caused;
}

void OutlierDetector::judge_rates(const RateRule& rule, Time now, http::Dice& dice,
                                  std::vector<Ejection>& caused) {
  std::vector<std::pair<Monitors::value_type*, double>> by_rate;   // enough requests for deviation
  std::vector<std::pair<Monitors::value_type*, double>> by_share;  // enough for the percentage
  for (auto& host : monitors_) {
    const Rate& rate = host.second.*rule.rate;
    if (host.second.ejected || rate.total == 0) continue;
    const double percent = 100.0 * static_cast<double>(rate.good) / static_cast<double>(rate.total);
    if (rate.total >= settings_.success_rate_volume) by_rate.emplace_back(&host, percent);
    if (rate.total >= settings_.failure_volume) by_share.emplace_back(&host, percent);
  }
  if (!by_rate.empty() && by_rate.size() >= settings_.success_rate_min_hosts) {
    double mean = 0;
    for (const auto& [host, percent] : by_rate) mean += percent;
    mean /= static_cast<double>(by_rate.size());
    double variance = 0;
    for (const auto& [host, percent] : by_rate) variance += (percent - mean) * (percent - mean);
    variance /= static_cast<double>(by_rate.size());
    const double least = mean - std::sqrt(variance) * settings_.success_rate_stdev / 1000.0;
    for (const auto& [host, percent] : by_rate) {
      if (percent >= least) continue;
      eject(*host, rule.by_deviation, rule.enforce_deviation, now, dice, caused);
    }
  }
  if (by_share.size() < settings_.failure_min_hosts) return;
  for (const auto& [host, percent] : by_share) {
    if (100.0 - percent < settings_.failure_threshold) continue;
    eject(*host, rule.by_percentage, rule.enforce_percentage, now, dice, caused);
  }
}

std::vector<Ejection> OutlierDetector::passed_check(std::string_view host) {
  std::vector<Ejection> caused;
  const auto found = monitors_.find(host);
  if (found != monitors_.end() && found->second.ejected && settings_.active_health_unejects) {
    take_back(*found, caused);
  }
  return caused;
}

}  // namespace mesh::waypoint::balance
