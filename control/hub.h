#pragma once
// Hub: the one place where the current snapshot is, and who follows it. The store publishes, the
// discovery streams follow, the debug pages look.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "control/resource_store.h"
#include "control/translation.h"
#include "mesh/manifest/parse.h"

namespace mesh::control {

// A discovery stream, as the hub and the debug pages see it.
class Follower {
 public:
  struct Status {
    std::string node;
    bool current = false;
    std::uint64_t acked_version = 0;
    std::string last_nack;
    // Of a proxy: "CDS" and so on, and SYNCED, STALE, ERROR (refused) or IGNORED (not asked for).
    std::vector<std::pair<std::string, std::string>> types = {};
  };

  virtual ~Follower() = default;
  // A newer snapshot is there. Must not block, and must not call the hub.
  virtual void follow(std::shared_ptr<const Snapshot> snapshot) = 0;
  virtual Status status() const = 0;
  // Of who follows for others: those, and what they are told otherwise than it is written.
  virtual std::vector<Status> proxies() const { return {}; }
  virtual std::vector<PolicyNote> notes() const { return {}; }
};

// What a node has, all its streams together.
struct NodeStatus {
  std::string node;
  bool connected = false;
  std::uint64_t acked_version = 0;
  bool pending = true;
  std::string last_nack;
  unsigned pods = 0;                                            // enrolled ones that run there
  std::vector<std::pair<std::string, std::string>> types = {};  // of a waypoint: see Follower
};

struct Counters {
  std::uint64_t streams = 0;
  std::uint64_t responses = 0;
  std::uint64_t resources = 0;
  std::uint64_t nacks = 0;
  std::uint64_t unauthenticated = 0;
  std::uint64_t transport_errors = 0;  // not TLS, not HTTP/2, broken off
  std::uint64_t certificates = 0;
  std::uint64_t certificates_refused = 0;
};

// Threads: any.
class Hub {
 public:
  // `published` is told each new number, before anybody is sent it.
  Hub(Settings settings, std::uint64_t first_version, std::function<void(std::uint64_t)> published);

  // The manifests as they are now. Before `was_good`, nothing is served from them. One at a time.
  void publish(std::shared_ptr<const World> world, std::vector<manifest::Problem> problems,
               bool was_good);

  // nullptr before there is one.
  std::shared_ptr<const Snapshot> snapshot() const;
  std::vector<manifest::Problem> problems() const;
  const Settings& settings() const { return settings_; }

  // Calls follow() for every snapshot from now on, and at once if there is one.
  void add(const std::shared_ptr<Follower>& follower);
  void remove(const Follower* follower);

  // How much has been translated until now.
  Translation::Work work() const;

  // Every waypoint proxy with a stream ("waypoint NAMESPACE/POD"), and every ready pod of a
  // waypoint without one; ordered by name.
  std::vector<NodeStatus> waypoints() const;
  // What of the objects waypoints cannot honour as it is written.
  std::vector<PolicyNote> notes() const;

  // Every node with enrolled pods, and every node with a stream; ordered by name.
  std::vector<NodeStatus> nodes() const;

  void count(std::uint64_t Counters::* counter, std::uint64_t by = 1);
  Counters counters() const;

 private:
  std::vector<std::shared_ptr<Follower>> alive() const;

  const Settings settings_;
  const std::function<void(std::uint64_t)> published_;
  Translation translation_;  // of who publishes
  mutable std::mutex mutex_;
  std::shared_ptr<const Snapshot> snapshot_;
  Translation::Work work_;
  std::vector<manifest::Problem> problems_;
  std::map<const Follower*, std::weak_ptr<Follower>> followers_;
  Counters counters_;
};

}  // namespace mesh::control
