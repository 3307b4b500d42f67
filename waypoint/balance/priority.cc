#include "waypoint/balance/priority.h"

#include <algorithm>

namespace mesh::waypoint::balance {

namespace {

std::uint64_t availability(std::uint64_t good, std::uint64_t total,
                           std::uint32_t overprovisioning) {
  return total == 0 ? 0 : std::min<std::uint64_t>(100, good * overprovisioning / total);
}

}  // namespace

std::vector<PriorityLoad> priority_loads(std::span<const PriorityHealth> health,
                                         std::uint32_t overprovisioning, double panic_threshold) {
  std::vector<PriorityLoad> loads(health.size());
  std::uint64_t hosts = 0;
  std::uint64_t available = 0;
  for (const PriorityHealth& one : health) {
    hosts += one.total;
    available += availability(one.healthy, one.total, overprovisioning) +
                 availability(one.degraded, one.total, overprovisioning);
  }
  if (hosts == 0) return loads;
  available = std::min<std::uint64_t>(100, available);
  bool all_panic = true;
  for (std::size_t i = 0; i < health.size(); ++i) {
    // Envoy looks at the threshold only while what is left cannot take everything.
    const auto good = static_cast<double>(health[i].healthy + health[i].degraded);
    const auto total = static_cast<double>(health[i].total);
    loads[i].panic = available < 100 && (total == 0 || 100.0 * good / total < panic_threshold) &&
                     panic_threshold > 0;
    all_panic = all_panic && loads[i].panic;
  }
  std::uint64_t left = 100;
  if (all_panic) {
    // By the number of hosts alone.
    for (std::size_t i = 0; i < health.size(); ++i) {
      loads[i].healthy = static_cast<std::uint32_t>(100 * health[i].total / hosts);
      left -= loads[i].healthy;
    }
  } else if (available > 0) {
    for (std::size_t i = 0; i < health.size(); ++i) {
      const auto share = availability(health[i].healthy, health[i].total, overprovisioning);
      loads[i].healthy = static_cast<std::uint32_t>(std::min(left, share * 100 / available));
      left -= loads[i].healthy;
    }
    for (std::size_t i = 0; i < health.size(); ++i) {
      const auto share = availability(health[i].degraded, health[i].total, overprovisioning);
      loads[i].degraded = static_cast<std::uint32_t>(std::min(left, share * 100 / available));
      left -= loads[i].degraded;
    }
  } else {
    // Nothing is healthy, and nothing panics everywhere: the first priority answers for it.
    loads[0].healthy = 100;
    return loads;
  }
  // What rounding left goes to the first priority that has something.
  for (std::size_t i = 0; i < health.size() && left > 0; ++i) {
    if (loads[i].healthy > 0) {
      loads[i].healthy += static_cast<std::uint32_t>(left);
      left = 0;
    } else if (loads[i].degraded > 0) {
      loads[i].degraded += static_cast<std::uint32_t>(left);
      left = 0;
    }
  }
  return loads;
}

double locality_share(std::uint32_t weight, std::uint64_t healthy, std::uint64_t total,
                      std::uint32_t overprovisioning) {
  if (total == 0 || weight == 0) return 0;
  const double part =
      static_cast<double>(healthy) * overprovisioning / 100.0 / static_cast<double>(total);
  return weight * std::min(1.0, part);
}

}  // namespace mesh::waypoint::balance
