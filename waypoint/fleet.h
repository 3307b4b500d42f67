#pragma once
// Fleet: what one ring knows of the clusters it sends to: hosts and their standing, who is next,
// what is under way, who is left out. What decides is waypoint/balance; this keeps it current.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mesh/io/ring.h"
#include "waypoint/balance/balancer.h"
#include "waypoint/balance/breaker.h"
#include "waypoint/balance/hosts.h"
#include "waypoint/balance/outlier.h"
#include "waypoint/breakers.h"
#include "waypoint/config/model.h"
#include "waypoint/health/board.h"
#include "waypoint/http/dice.h"
#include "waypoint/named_hosts.h"

namespace mesh::waypoint {

struct PickContext {
  std::optional<std::uint64_t> hash = {};
  net::SocketAddress dialled = {};      // for clusters that go where the client dialled
  std::vector<std::string> tried = {};  // keys of endpoints, when they are to be avoided
  std::uint32_t attempts = 1;
};

// An endpoint that was chosen, counted as active until this is gone.
class Picked {
 public:
  Picked(config::Endpoint chosen, balance::HostStatePtr state)
      : endpoint(std::move(chosen)), state_(std::move(state)) {
    if (state_) ++state_->active;
  }
  Picked(Picked&&) noexcept = default;
  Picked& operator=(Picked&&) = delete;
  ~Picked() {
    if (state_) --state_->active;
  }
  const balance::HostStatePtr& state() const { return state_; }

  config::Endpoint endpoint;

 private:
  balance::HostStatePtr state_;
};

// Threads: those of its ring.
class Fleet {
 public:
  // `breakers`, `health`: shared with other rings. Without `health` there are no checks, without
  // `names` an endpoint that has a name is one host. All of them outlive this.
  Fleet(io::Ring& ring, http::Dice& dice, Breakers& breakers, HealthBoard* health = nullptr,
        const NamedHosts* names = nullptr)
      : ring_(ring), dice_(dice), breakers_(breakers), health_(health), names_(names) {}

  // None: nobody is there to take it (UH).
  std::optional<Picked> pick(const config::Snapshot& snapshot, const config::Cluster& cluster,
                             const PickContext& context);
  // A try ended: what the host did, and how long its answer took.
  void finished(const config::Cluster& cluster, const Picked& picked, balance::HostResult result,
                std::optional<io::Duration> latency);

  balance::Breaker& breaker(const config::Snapshot& snapshot, const config::Cluster& cluster,
                            bool high);

  // Clusters that the snapshot no longer has are forgotten.
  void forget_others(const config::Snapshot& snapshot);
  // Looks at outliers as often as each cluster says. Until cancelled.
  io::Task<void> tend();

  // For the admin page.
  struct Row {
    std::string cluster;
    const balance::Hosts* hosts;
    const balance::Breaker* normal;
    const balance::Breaker* high;
  };
  std::vector<Row> rows() const;
  std::uint64_t ejections() const { return ejections_; }

 private:
  struct State {
    State(const config::Cluster& cluster, Breakers& breakers, balance::Time now);
    config::LoadBalancing::Policy policy;
    balance::Hosts hosts;
    balance::Balancer balancer;
    balance::Breaker normal, high;
    std::optional<balance::OutlierDetector> outlier;
    std::shared_ptr<ClusterHealth> health;  // null: nobody checks
    std::optional<std::uint64_t> health_seen;
    const config::Cluster* cluster = nullptr;  // what is in force here; compared only
    config::ClusterPtr held;                   // the same: a later one must not get its address
    config::EndpointsPtr endpoints;
    std::uint64_t number = 0;  // of the newest snapshot seen
    balance::Time next_tick{0};
  };

  State& state_of(const config::Snapshot& snapshot, const config::Cluster& cluster);
  void renew(State& state, const config::Snapshot& snapshot, const config::Cluster& cluster);
  void look_at_checks(State& state);
  void obey(State& state, const std::vector<balance::Ejection>& ejections);
  balance::Time now() const { return ring_.now().time_since_epoch(); }

  io::Ring& ring_;
  http::Dice& dice_;
  Breakers& breakers_;
  HealthBoard* health_;
  const NamedHosts* names_;
  std::map<std::string, std::unique_ptr<State>, std::less<>> states_;
  std::uint64_t ejections_ = 0;
};

}  // namespace mesh::waypoint
