#pragma once
// Balancer: which host of a cluster gets the next request. Deterministic: hosts, dice and the time
// are given to it.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "waypoint/balance/hosts.h"
#include "waypoint/balance/priority.h"
#include "waypoint/balance/scheduler.h"
#include "waypoint/config/cluster.h"
#include "waypoint/http/dice.h"

namespace mesh::waypoint::balance {

struct Pick {
  Time now{0};
  std::optional<std::uint64_t> hash = {};  // for ring hash and maglev; none: by chance
  // Hosts of earlier tries, by key: avoided as often as `attempts` allows.
  std::span<const std::string> avoid = {};
  std::uint32_t attempts = 1;
};

// Borrows the Hosts it is asked about: always the same one.
// Threads: one per thread.
// Cost: constant or logarithmic in the hosts; after a change of their standing linear, once.
class Balancer {
 public:
  explicit Balancer(config::LoadBalancing how) : how_(how) {}

  // None: nobody is there to take it (503, flag UH).
  std::optional<std::uint32_t> pick(Hosts& hosts, const Pick& pick, http::Dice& dice);

  // As of the last pick.
  std::span<const PriorityLoad> loads() const { return loads_; }

 private:
  // The hosts that one draw chooses among, and what is prepared for it.
  struct Pool {
    std::vector<std::uint32_t> hosts = {};
    bool equal_weights = true;
    std::uint32_t turn = 0;
    Edf edf = {};
    Ring ring = {};
    Maglev maglev = {};
    bool prepared = false;
  };
  struct Share {
    double weight = 0;
    Pool pool = {};
  };
  struct Level {                      // a priority
    std::vector<Share> healthy = {};  // one, or one per locality
    std::vector<Share> degraded = {};
    std::vector<Share> any = {};  // in panic
  };

  void rebuild(const Hosts& hosts);
  std::vector<Share> shares(const Hosts& hosts, std::uint32_t priority,
                            const std::function<bool(std::uint32_t)>& wanted,
                            bool by_locality) const;
  Pool* draw_pool(http::Dice& dice);
  std::optional<std::uint32_t> pick_once(Hosts& hosts, const Pick& pick, std::uint32_t attempt,
                                         http::Dice& dice);
  std::uint32_t pick_from(Hosts& hosts, Pool& pool, const Pick& pick, std::uint32_t attempt,
                          http::Dice& dice);
  std::uint32_t pick_weighted(Hosts& hosts, Pool& pool, Time now, http::Dice& dice);
  std::uint32_t pick_by_hash(const Hosts& hosts, Pool& pool, const Pick& pick,
                             std::uint32_t attempt, http::Dice& dice);
  template <class Cost>
  std::uint32_t pick_cheapest(const Pool& pool, http::Dice& dice, Cost&& cost) const;
  double weight_now(const Hosts& hosts, std::uint32_t host, Time now) const;
  bool starts_slowly(const Hosts& hosts, const Pool& pool, Time now) const;

  config::LoadBalancing how_;
  std::uint64_t built_for_ = 0;
  std::vector<Level> levels_;
  std::vector<PriorityLoad> loads_;
};

}  // namespace mesh::waypoint::balance
