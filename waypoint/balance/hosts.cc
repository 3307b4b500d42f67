#include "waypoint/balance/hosts.h"

#include <cmath>
#include <utility>

namespace mesh::waypoint::balance {

void PeakEwma::observe(Time latency, Time now) {
  const auto sample = static_cast<double>(latency.count());
  const double before = value(now);
  if (!known_ || sample >= before) {
    value_ = sample;
  } else {
    const double kept =
        std::exp(-static_cast<double>((now - at_).count()) / static_cast<double>(kDecay.count()));
    // `before` has already decayed; mix the undecayed average with the sample.
    value_ = value_ * kept + sample * (1 - kept);
  }
  known_ = true;
  at_ = now;
}

double PeakEwma::value(Time now) const {
  if (!known_) return value_;
  const double kept =
      std::exp(-static_cast<double>((now - at_).count()) / static_cast<double>(kDecay.count()));
  return value_ * kept;
}

void Hosts::update(config::EndpointsPtr endpoints, Time now) {
  std::unordered_map<std::string, HostStatePtr> before;
  for (HostStatePtr& state : states_) before.emplace(state->key, std::move(state));
  const bool first = before.empty();
  endpoints_ = std::move(endpoints);
  states_.clear();
  by_key_.clear();
  for (const config::Endpoint& endpoint : endpoints_->all) {
    const std::string key = endpoint.key();
    const auto found = before.find(key);
    HostStatePtr state = found != before.end() ? found->second : std::make_shared<HostState>();
    if (found == before.end()) {
      state->key = key;
      // A time long past: no slow start.
      state->healthy_since = first ? Time::min() / 2 : now;
    }
    by_key_.emplace(key, static_cast<std::uint32_t>(states_.size()));
    states_.push_back(std::move(state));
  }
  ++generation_;
}

std::optional<std::uint32_t> Hosts::find(std::string_view key) const {
  const auto found = by_key_.find(std::string(key));
  return found == by_key_.end() ? std::nullopt : std::optional(found->second);
}

Standing Hosts::standing(std::uint32_t host) const {
  using Health = config::Endpoint::Health;
  const Health health = endpoint(host).health;
  if (state(host).ejected || state(host).failed_checks || health == Health::kUnhealthy ||
      health == Health::kDraining) {
    return Standing::kUnhealthy;
  }
  const bool degraded = health == Health::kDegraded || state(host).degraded_checks;
  return degraded ? Standing::kDegraded : Standing::kHealthy;
}

void Hosts::set_ejected(std::string_view key, bool ejected, Time now) {
  const auto host = find(key);
  if (!host || state(*host).ejected == ejected) return;
  state(*host).ejected = ejected;
  if (!ejected) state(*host).healthy_since = now;
  ++generation_;
}

void Hosts::set_checked(std::uint32_t host, bool failed, bool degraded, Time now) {
  HostState& known = state(host);
  if (known.failed_checks == failed && known.degraded_checks == degraded) return;
  if (known.failed_checks && !failed) known.healthy_since = now;
  known.failed_checks = failed;
  known.degraded_checks = degraded;
  ++generation_;
}

}  // namespace mesh::waypoint::balance
