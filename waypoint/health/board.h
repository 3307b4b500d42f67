#pragma once
// HealthBoard: what active checks found, written by the ring that asks, read by all of them.
//
// Threads: any. Readers look at a version first, which costs one load; a lock only when it changed.

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

namespace mesh::waypoint {

// Of one cluster.
class ClusterHealth {
 public:
  struct Standing {
    bool failed = true;
    bool degraded = false;
    std::uint64_t passes = 0;  // while somebody had it ejected
    bool ejected = false;      // somebody has
  };
  using Standings = std::map<std::string, Standing, std::less<>>;

  // A host that will be checked. `trusted`: it counts as well until then.
  void expect(std::string_view host, bool trusted);
  void forget(std::string_view host);
  // A check of `host`, `changed` as HostHealth says.
  void record(std::string_view host, bool failed, bool degraded, bool changed, bool passed);
  // Outlier detection of some ring left it out: it wants to hear of the next check that passes.
  void ejected(std::string_view host);
  Standings all() const;
  // Grows when readers should look.
  std::uint64_t version() const { return version_.load(std::memory_order_acquire); }

  // The cluster has had requests.
  void use() {
    if (!used()) used_.store(true, std::memory_order_relaxed);
  }
  bool used() const { return used_.load(std::memory_order_relaxed); }

 private:
  mutable std::mutex mutex_;
  Standings standings_;
  std::atomic<std::uint64_t> version_{0};
  std::atomic<bool> used_{false};
};

class HealthBoard {
 public:
  // The same one for the same cluster as long as somebody has it.
  std::shared_ptr<ClusterHealth> of(std::string_view cluster);

 private:
  std::mutex mutex_;
  std::map<std::string, std::weak_ptr<ClusterHealth>, std::less<>> clusters_;
};

}  // namespace mesh::waypoint
