#pragma once
// WaypointCache: what each waypoint is configured with, world after world. A waypoint is translated
// again when something changed that its translation looked at; when all that changed is what stands
// behind services that it calls, their endpoints are. The outcome is always that of translating it
// anew (waypoint_cache_test.cc compares them).
//
// Threads: one.

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "control/envoy/catalog.h"
#include "control/envoy/session.h"
#include "control/envoy/translate.h"

namespace mesh::control {

class WaypointCache {
 public:
  explicit WaypointCache(Settings settings);

  // To the next world. What is not asked for by of() until the one after it is forgotten.
  void follow(const std::shared_ptr<const Snapshot>& next);

  // `client` is of the world that was followed last. The very same as before when nothing differs.
  std::shared_ptr<const WaypointSnapshot> of(const WaypointClient& client);

  // What of the objects those that were asked for cannot honour.
  std::vector<PolicyNote> notes() const;

  // How much has been done.
  struct Work {
    std::uint64_t read = 0;       // services and workloads that were read
    std::uint64_t waypoints = 0;  // translations of one
    std::uint64_t endpoints = 0;  // translations of a cluster's endpoints beside them
  };
  const Work& work() const { return work_; }

 private:
  // By waypoint, place, labels, folder of secrets, and how its health checks go.
  using Key = std::tuple<std::string, std::string, Locality, manifest::Labels, std::string, bool>;
  struct Config {
    std::shared_ptr<const WaypointSnapshot> snapshot;
    std::vector<PolicyNote> notes;
    std::map<std::string, PolicyNote> endpoint_notes;
    std::vector<ClusterUse> filled;
    std::set<std::string> inlined;
    std::shared_ptr<const World> world;  // that `filled` points into
    WorldReads world_reads;
    Catalog::Reads catalog_reads;
    bool stale = true;
    std::set<std::string> filled_anew;  // keys of services
    bool used = false;
  };

  bool concerns(const manifest::ObjectKey& key, const manifest::Object* object,
                const Config& config) const;
  void translate(const WaypointClient& client, Config& config);
  void fill(const WaypointClient& client, Config& config);

  const Settings settings_;
  Catalog catalog_;
  std::shared_ptr<const World> world_;
  std::map<Key, Config> configs_;
  Work work_;
};

}  // namespace mesh::control
