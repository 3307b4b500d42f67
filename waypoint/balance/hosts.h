#pragma once
// Hosts: the endpoints of one cluster with what is known of them here and now: requests in flight,
// latency, ejection. One per cluster and thread; the endpoints come and go, and what is known of
// those that stay is kept.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "waypoint/config/cluster.h"

namespace mesh::waypoint::balance {

// Since any origin, always the same one.
using Time = std::chrono::nanoseconds;

// An average of latencies that follows a rise at once and a fall slowly (peak EWMA, Finagle's).
class PeakEwma {
 public:
  static constexpr Time kDecay = std::chrono::seconds(10);
  // What a host that was never asked is taken for.
  static constexpr Time kUnknown = std::chrono::milliseconds(30);

  void observe(Time latency, Time now);
  // In nanoseconds.
  double value(Time now) const;

 private:
  double value_ = static_cast<double>(kUnknown.count());
  Time at_{0};
  bool known_ = false;
};

// Shared with the requests in flight, which outlive their endpoint's removal.
struct HostState {
  std::string key = {};
  std::uint32_t active = 0;
  bool ejected = false;            // by outlier detection
  bool failed_checks = false;      // by active health checks
  bool degraded_checks = false;    // by those, too
  std::uint64_t check_passes = 0;  // ClusterHealth::Standing, as last seen
  Time healthy_since{0};           // for slow start
  PeakEwma latency = {};
};
using HostStatePtr = std::shared_ptr<HostState>;

enum class Standing : std::uint8_t { kHealthy, kDegraded, kUnhealthy };

class Hosts {
 public:
  Hosts() = default;
  Hosts(config::EndpointsPtr endpoints, Time now) { update(std::move(endpoints), now); }

  // New endpoints. Those whose key stays keep their state. `first` hosts of a new cluster do not
  // start slowly: there is nobody else.
  void update(config::EndpointsPtr endpoints, Time now);

  std::size_t size() const { return states_.size(); }
  const config::Endpoint& endpoint(std::uint32_t host) const { return endpoints_->all[host]; }
  HostState& state(std::uint32_t host) { return *states_[host]; }
  const HostState& state(std::uint32_t host) const { return *states_[host]; }
  const HostStatePtr& share(std::uint32_t host) const { return states_[host]; }
  const config::Endpoints& endpoints() const { return *endpoints_; }
  std::optional<std::uint32_t> find(std::string_view key) const;

  // kDraining and kUnhealthy endpoints are unhealthy, and so are ejected ones.
  Standing standing(std::uint32_t host) const;

  // These change generation().
  void set_ejected(std::string_view key, bool ejected, Time now);
  void set_checked(std::uint32_t host, bool failed, bool degraded, Time now);
  // Grows with every change of the hosts or of their standing.
  std::uint64_t generation() const { return generation_; }

 private:
  config::EndpointsPtr endpoints_ = std::make_shared<config::Endpoints>();
  std::vector<HostStatePtr> states_;
  std::unordered_map<std::string, std::uint32_t> by_key_;
  std::uint64_t generation_ = 0;
};

}  // namespace mesh::waypoint::balance
