#include "waypoint/balance/balancer.h"

#include <algorithm>
#include <cmath>

namespace mesh::waypoint::balance {

namespace {

using Policy = config::LoadBalancing::Policy;

PriorityHealth health_of(const Hosts& hosts, std::uint32_t priority) {
  PriorityHealth health;
  for (const config::EndpointGroup& group : hosts.endpoints().groups) {
    if (group.priority != priority) continue;
    for (std::uint32_t host = group.first; host < group.first + group.count; ++host) {
      const std::uint64_t unit =
          hosts.endpoints().weighted_priority_health ? hosts.endpoint(host).weight : 1;
      health.total += unit;
      const Standing standing = hosts.standing(host);
      if (standing == Standing::kHealthy) health.healthy += unit;
      if (standing == Standing::kDegraded) health.degraded += unit;
    }
  }
  return health;
}

}  // namespace

std::optional<std::uint32_t> Balancer::pick(Hosts& hosts, const Pick& pick, http::Dice& dice) {
  if (hosts.generation() != built_for_) rebuild(hosts);
  std::optional<std::uint32_t> picked;
  const std::uint32_t attempts = pick.avoid.empty() ? 1 : std::max(pick.attempts, 1u);
  for (std::uint32_t attempt = 0; attempt < attempts; ++attempt) {
    picked = pick_once(hosts, pick, attempt, dice);
    if (!picked) return std::nullopt;
    if (std::ranges::find(pick.avoid, hosts.state(*picked).key) == pick.avoid.end()) break;
  }
  return picked;
}

void Balancer::rebuild(const Hosts& hosts) {
  built_for_ = hosts.generation();
  const config::Endpoints& endpoints = hosts.endpoints();
  std::vector<PriorityHealth> health;
  for (std::uint32_t priority = 0; priority < endpoints.priorities; ++priority) {
    health.push_back(health_of(hosts, priority));
  }
  loads_ = priority_loads(health, endpoints.overprovisioning, how_.panic_threshold);
  levels_.clear();
  for (std::uint32_t priority = 0; priority < endpoints.priorities; ++priority) {
    const auto stands = [&hosts](Standing standing) {
      return [&hosts, standing](std::uint32_t host) { return hosts.standing(host) == standing; };
    };
    Level level;
    level.healthy = shares(hosts, priority, stands(Standing::kHealthy), how_.locality_weighted);
    level.degraded = shares(hosts, priority, stands(Standing::kDegraded), how_.locality_weighted);
    if (loads_[priority].panic && !how_.fail_in_panic) {
      level.any = shares(hosts, priority, [](std::uint32_t) { return true; }, false);
    }
    levels_.push_back(std::move(level));
  }
}

std::vector<Balancer::Share> Balancer::shares(const Hosts& hosts, std::uint32_t priority,
                                              const std::function<bool(std::uint32_t)>& wanted,
                                              bool by_locality) const {
  std::vector<Share> made;
  for (const config::EndpointGroup& group : hosts.endpoints().groups) {
    if (group.priority != priority) continue;
    Pool pool;
    for (std::uint32_t host = group.first; host < group.first + group.count; ++host) {
      if (wanted(host)) pool.hosts.push_back(host);
    }
    if (pool.hosts.empty()) continue;
    const double weight = by_locality ? locality_share(group.weight, pool.hosts.size(), group.count,
                                                       hosts.endpoints().overprovisioning)
                                      : 1;
    if (by_locality && weight <= 0) continue;
    if (by_locality || made.empty()) {
      made.push_back({.weight = weight, .pool = std::move(pool)});
    } else {
      auto& all = made[0].pool.hosts;
      all.insert(all.end(), pool.hosts.begin(), pool.hosts.end());
    }
  }
  for (Share& share : made) {
    const auto& list = share.pool.hosts;
    share.pool.equal_weights = std::ranges::all_of(list, [&](std::uint32_t host) {
      return hosts.endpoint(host).weight == hosts.endpoint(list[0]).weight;
    });
  }
  return made;
}

// A priority by its load, in it a locality by its weight.
Balancer::Pool* Balancer::draw_pool(http::Dice& dice) {
  std::uint64_t ticket = dice.below(100);
  for (std::size_t i = 0; i < levels_.size(); ++i) {
    Level& level = levels_[i];
    std::vector<Share>* from = nullptr;
    if (ticket < loads_[i].healthy) {
      from = loads_[i].panic ? &level.any : &level.healthy;
    } else if (ticket < loads_[i].healthy + loads_[i].degraded) {
      from = loads_[i].panic ? &level.any : &level.degraded;
    } else {
      ticket -= loads_[i].healthy + loads_[i].degraded;
      continue;
    }
    double total = 0;
    for (const Share& share : *from) total += share.weight;
    double at = dice.unit() * total;
    for (Share& share : *from) {
      at -= share.weight;
      if (at < 0) return &share.pool;
    }
    return from->empty() ? nullptr : &from->back().pool;
  }
  return nullptr;
}

std::optional<std::uint32_t> Balancer::pick_once(Hosts& hosts, const Pick& pick,
                                                 std::uint32_t attempt, http::Dice& dice) {
  Pool* pool = draw_pool(dice);
  if (pool == nullptr || pool->hosts.empty()) return std::nullopt;
  return pick_from(hosts, *pool, pick, attempt, dice);
}

std::uint32_t Balancer::pick_from(Hosts& hosts, Pool& pool, const Pick& pick, std::uint32_t attempt,
                                  http::Dice& dice) {
  switch (how_.policy) {
    case Policy::kRingHash:
    case Policy::kMaglev:
      return pick_by_hash(hosts, pool, pick, attempt, dice);
    case Policy::kRandom:
    case Policy::kPassthrough:
      return pool.hosts[dice.below(pool.hosts.size())];
    case Policy::kPeakEwma:
      return pick_cheapest(pool, dice, [&](std::uint32_t host) {
        return hosts.state(host).latency.value(pick.now) * (hosts.state(host).active + 1.0) /
               std::max(weight_now(hosts, host, pick.now), 1e-6);
      });
    case Policy::kLeastRequest:
      if (pool.equal_weights && !starts_slowly(hosts, pool, pick.now)) {
        return pick_cheapest(pool, dice, [&](std::uint32_t host) {
          return static_cast<double>(hosts.state(host).active);
        });
      }
      return pick_weighted(hosts, pool, pick.now, dice);
    case Policy::kRoundRobin:
      if (pool.equal_weights && !starts_slowly(hosts, pool, pick.now)) {
        if (!pool.prepared) {
          pool.turn = static_cast<std::uint32_t>(dice.below(pool.hosts.size()));
          pool.prepared = true;
        }
        return pool.hosts[pool.turn++ % pool.hosts.size()];
      }
      return pick_weighted(hosts, pool, pick.now, dice);
  }
  return pool.hosts[0];
}

std::uint32_t Balancer::pick_weighted(Hosts& hosts, Pool& pool, Time now, http::Dice& dice) {
  const auto weight = [this, &hosts, now](std::uint32_t host) {
    return weight_now(hosts, host, now);
  };
  if (pool.edf.empty()) {
    // Not every thread begins with the same host.
    const std::uint64_t first = dice.below(pool.hosts.size());
    for (std::size_t i = 0; i < pool.hosts.size(); ++i) {
      const std::uint32_t host = pool.hosts[(first + i) % pool.hosts.size()];
      pool.edf.add(host, weight(host));
    }
  }
  return pool.edf.next(weight);
}

std::uint32_t Balancer::pick_by_hash(const Hosts& hosts, Pool& pool, const Pick& pick,
                                     std::uint32_t attempt, http::Dice& dice) {
  if (!pool.prepared) {
    std::vector<WeightedKey> keys;
    for (const std::uint32_t host : pool.hosts) {
      const config::Endpoint& endpoint = hosts.endpoint(host);
      const bool by_name = how_.hash_by_hostname && !endpoint.hostname.empty();
      keys.push_back({.host = host,
                      .weight = endpoint.weight,
                      .key = by_name ? endpoint.hostname : hosts.state(host).key});
    }
    if (how_.policy == Policy::kRingHash) {
      pool.ring = Ring(keys, how_.min_ring, how_.max_ring);
    } else {
      pool.maglev = Maglev(keys, how_.maglev_table);
    }
    pool.prepared = true;
  }
  const std::uint64_t hash = pick.hash.value_or(dice.roll());
  if (how_.policy == Policy::kRingHash) {
    return pool.ring.empty() ? pool.hosts[0] : pool.ring.choose(hash, attempt);
  }
  return pool.maglev.empty() ? pool.hosts[0] : pool.maglev.choose(hash, attempt);
}

// The cheapest of a few drawn by chance ("power of two choices").
template <class Cost>
std::uint32_t Balancer::pick_cheapest(const Pool& pool, http::Dice& dice, Cost&& cost) const {
  std::uint32_t best = pool.hosts[dice.below(pool.hosts.size())];
  double best_cost = cost(best);
  const std::uint32_t choices = std::max(how_.choices, 1u);
  for (std::uint32_t i = 1; i < choices; ++i) {
    const std::uint32_t other = pool.hosts[dice.below(pool.hosts.size())];
    const double other_cost = cost(other);
    if (other_cost < best_cost) {
      best = other;
      best_cost = other_cost;
    }
  }
  return best;
}

// Configured weight, less what requests in flight (least request) and slow start take off.
double Balancer::weight_now(const Hosts& hosts, std::uint32_t host, Time now) const {
  double weight = hosts.endpoint(host).weight;
  if (how_.policy == Policy::kLeastRequest) {
    weight /= std::pow(hosts.state(host).active + 1.0, how_.active_request_bias);
  }
  const auto window = static_cast<double>(Time(how_.slow_start.window).count());
  const auto age = static_cast<double>((now - hosts.state(host).healthy_since).count());
  if (window > 0 && age < window) {
    const double grown = std::pow(std::max(age, 1.0) / window, 1.0 / how_.slow_start.aggression);
    weight *= std::max(grown, how_.slow_start.min_weight_percent / 100.0);
  }
  return weight;
}

bool Balancer::starts_slowly(const Hosts& hosts, const Pool& pool, Time now) const {
  if (how_.slow_start.window.count() == 0) return false;
  return std::ranges::any_of(pool.hosts, [&](std::uint32_t host) {
    return now - hosts.state(host).healthy_since < how_.slow_start.window;
  });
}

}  // namespace mesh::waypoint::balance
