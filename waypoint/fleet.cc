#include "waypoint/fleet.h"

#include <algorithm>

#include "mesh/io/timer.h"

namespace mesh::waypoint {
namespace {

constexpr io::Duration kTendEvery = std::chrono::seconds(1);

}  // namespace

Fleet::State::State(const config::Cluster& of, Breakers& breakers, balance::Time now)
    : policy(of.balancing.policy),
      hosts(std::make_shared<config::Endpoints>(), now),
      balancer(of.balancing),
      normal(of.normal, breakers.of(of.name, false)),
      high(of.high, breakers.of(of.name, true)) {}

Fleet::State& Fleet::state_of(const config::Snapshot& snapshot, const config::Cluster& cluster) {
  auto found = states_.find(cluster.name);
  if (found == states_.end()) {
    found = states_.emplace(cluster.name, std::make_unique<State>(cluster, breakers_, now())).first;
  }
  // A request that began before a change does not turn it back.
  if (snapshot.number >= found->second->number) renew(*found->second, snapshot, cluster);
  return *found->second;
}

void Fleet::renew(State& state, const config::Snapshot& snapshot, const config::Cluster& cluster) {
  state.number = snapshot.number;
  if (state.cluster != &cluster) {
    state.cluster = &cluster;
    const auto known = snapshot.clusters->find(cluster.name);
    state.held = known == snapshot.clusters->end() ? nullptr : known->second;
    state.balancer = balance::Balancer(cluster.balancing);
    state.normal.set_limits(cluster.normal);
    state.high.set_limits(cluster.high);
    if (!cluster.outlier) {
      for (std::uint32_t host = 0; state.outlier && host < state.hosts.size(); ++host) {
        state.hosts.set_ejected(state.hosts.state(host).key, false, now());
      }
      state.outlier.reset();
    } else if (state.outlier) {
      state.outlier->set(*cluster.outlier);
    } else {
      state.outlier.emplace(*cluster.outlier);
      state.endpoints.reset();
    }
    if (!cluster.health_check || health_ == nullptr) {
      state.health.reset();
      for (std::uint32_t host = 0; host < state.hosts.size(); ++host) {
        state.hosts.set_checked(host, false, false, now());
      }
    } else if (!state.health) {
      state.health = health_->of(cluster.name);
      state.health_seen.reset();
    }
  }
  config::EndpointsPtr endpoints = endpoints_in(snapshot, cluster, names_);
  if (!endpoints || endpoints == state.endpoints) return;
  state.endpoints = endpoints;
  state.hosts.update(std::move(endpoints), now());
  state.health_seen.reset();
  if (!state.outlier) return;
  std::vector<std::string> keys;
  for (std::uint32_t host = 0; host < state.hosts.size(); ++host) {
    keys.push_back(state.hosts.state(host).key);
  }
  state.outlier->set_hosts(keys);
}

std::optional<Picked> Fleet::pick(const config::Snapshot& snapshot, const config::Cluster& cluster,
                                  const PickContext& context) {
  if (cluster.balancing.policy == config::LoadBalancing::Policy::kPassthrough) {
    config::Endpoint endpoint;
    endpoint.address = context.dialled;
    endpoint.health = config::Endpoint::Health::kHealthy;
    return Picked(std::move(endpoint), nullptr);
  }
  State& state = state_of(snapshot, cluster);
  if (state.health) {
    state.health->use();
    look_at_checks(state);
  }
  const balance::Pick how{
      .now = now(), .hash = context.hash, .avoid = context.tried, .attempts = context.attempts};
  const auto host = state.balancer.pick(state.hosts, how, dice_);
  if (!host) return std::nullopt;
  return Picked(state.hosts.endpoint(*host), state.hosts.share(*host));
}

void Fleet::finished(const config::Cluster& cluster, const Picked& picked,
                     balance::HostResult result, std::optional<io::Duration> latency) {
  const auto found = states_.find(cluster.name);
  if (found == states_.end() || !picked.state()) return;
  if (latency) picked.state()->latency.observe(*latency, now());
  State& state = *found->second;
  if (state.outlier) obey(state, state.outlier->record(picked.state()->key, result, now(), dice_));
}

// What another ring found out. One load where nothing did change.
void Fleet::look_at_checks(State& state) {
  const std::uint64_t version = state.health->version();
  if (state.health_seen == version) return;
  state.health_seen = version;
  const ClusterHealth::Standings all = state.health->all();
  for (std::uint32_t host = 0; host < state.hosts.size(); ++host) {
    balance::HostState& known = state.hosts.state(host);
    const auto found = all.find(known.key);
    const ClusterHealth::Standing standing =
        found == all.end() ? ClusterHealth::Standing{.failed = false} : found->second;
    state.hosts.set_checked(host, standing.failed, standing.degraded, now());
    const bool passed = standing.passes > known.check_passes;
    known.check_passes = standing.passes;
    if (passed && known.ejected && state.outlier) {
      obey(state, state.outlier->passed_check(known.key));
    }
  }
}

void Fleet::obey(State& state, const std::vector<balance::Ejection>& ejections) {
  for (const balance::Ejection& ejection : ejections) {
    if (ejection.ejected) ++ejections_;
    if (ejection.ejected && state.health) state.health->ejected(ejection.host);
    state.hosts.set_ejected(ejection.host, ejection.ejected, now());
  }
}

balance::Breaker& Fleet::breaker(const config::Snapshot& snapshot, const config::Cluster& cluster,
                                 bool high) {
  State& state = state_of(snapshot, cluster);
  return high ? state.high : state.normal;
}

void Fleet::forget_others(const config::Snapshot& snapshot) {
  using enum balance::Breaker::What;
  std::erase_if(states_, [&](const auto& item) {
    const State& state = *item.second;
    // Requests under way hold its breaker.
    const bool busy = state.normal.now(kRequest) + state.high.now(kRequest) > 0;
    return !busy && snapshot.cluster(item.first) == nullptr;
  });
}

io::Task<void> Fleet::tend() {
  for (;;) {
    const auto slept = co_await io::sleep_for(ring_, kTendEvery);
    if (!slept) co_return;
    for (auto& [name, state] : states_) {
      if (state->health) look_at_checks(*state);
      if (!state->outlier || now() < state->next_tick) continue;
      state->next_tick = now() + state->outlier->settings().interval;
      obey(*state, state->outlier->tick(now(), dice_));
    }
  }
}

std::vector<Fleet::Row> Fleet::rows() const {
  std::vector<Row> rows;
  for (const auto& [name, state] : states_) {
    rows.push_back({name, &state->hosts, &state->normal, &state->high});
  }
  return rows;
}

}  // namespace mesh::waypoint
