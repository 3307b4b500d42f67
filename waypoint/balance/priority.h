#pragma once
// Which share of the requests goes to which priority and locality, by how many of their hosts are
// healthy. Envoy's figures: overprovisioning 1.4, panic below a threshold.

#include <cstdint>
#include <span>
#include <vector>

#include "waypoint/balance/hosts.h"

namespace mesh::waypoint::balance {

struct PriorityHealth {
  std::uint64_t total = 0;  // hosts (or their weights)
  std::uint64_t healthy = 0;
  std::uint64_t degraded = 0;
};

struct PriorityLoad {
  std::uint32_t healthy = 0;   // percent of all requests, for healthy hosts
  std::uint32_t degraded = 0;  // percent, for degraded ones
  bool panic = false;          // standing is not looked at: there are too few to believe it
};

// One per priority; the percents add up to 100, or all are 0 when there is no host.
// `overprovisioning` in percent: 140. `panic_threshold` in percent; 0: never.
std::vector<PriorityLoad> priority_loads(std::span<const PriorityHealth> health,
                                         std::uint32_t overprovisioning, double panic_threshold);

// The share of a locality: its weight, less what its unhealthy hosts cost it.
double locality_share(std::uint32_t weight, std::uint64_t healthy, std::uint64_t total,
                      std::uint32_t overprovisioning);

}  // namespace mesh::waypoint::balance
