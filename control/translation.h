#pragma once
// Translation: world after world, and what of the resources changes with each. What did not change
// is not looked at: the work follows the change, not the size of the mesh. The outcome is always
// that of translating the whole world anew (translation_test.cc compares them).

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control/resource_store.h"
#include "control/translate_policies.h"
#include "control/translate_workloads.h"
#include "control/world_index.h"

namespace mesh::control {

// Threads: one at a time.
class Translation {
 public:
  // Snapshots are numbered from `first_version`.
  Translation(Settings settings, std::uint64_t first_version);

  // The snapshot of that world. Its number is the last one's while all resources, and all that
  // waypoints are configured by, are the same.
  std::shared_ptr<const Snapshot> next(std::shared_ptr<const World> world);

  // How much has been translated.
  struct Work {
    std::uint64_t objects = 0;   // pods, WorkloadEntries, ServiceEntries, EndpointSlices
    std::uint64_t services = 0;  // hosts
    std::uint64_t policies = 0;
  };
  const Work& work() const { return work_; }

 private:
  // What must be looked at again.
  struct Dirty {
    std::set<manifest::ObjectKey> objects;
    std::set<NamedAs> services;  // namespace, host
    std::set<std::string> namespaces;
    bool all_namespaces = false;
    std::set<manifest::ObjectKey> policies;
    bool peers = false;
    bool selection = false;
    bool waypoints = false;  // what only waypoints are told of
  };
  struct Change {
    manifest::ObjectKey key;
    std::shared_ptr<const manifest::Object> before, after;
  };

  std::vector<Change> take(std::shared_ptr<const World> world);
  Dirty marks_of(const std::vector<Change>& changes) const;
  void mark(const Change& change, Dirty& dirty) const;
  void mark_own(const Change& change, Dirty& dirty) const;
  void mark_everything(Dirty& dirty) const;
  void mark_pod(const Change& change, Dirty& dirty) const;
  void mark_service(const Change& change, Dirty& dirty) const;
  void mark_entry(const Change& change, Dirty& dirty) const;
  void mark_slice(const Change& change, Dirty& dirty) const;
  void mark_policy(const Change& change, Dirty& dirty) const;
  void mark_peer(const Change& change, Dirty& dirty) const;
  void mark_place(const std::string& ns, Dirty& dirty) const;
  void mark_address(const net::IpAddress& ip, Dirty& dirty) const;
  void mark_backing(const manifest::Service& service, Dirty& dirty) const;
  // `ns`: null: everywhere.
  void mark_selected(const std::string* ns, const manifest::Labels& selector, Dirty& dirty) const;
  void mark_targeted(const std::string& ns, Dirty& dirty) const;
  void expand(Dirty& dirty) const;

  void make_object(const manifest::ObjectKey& key, Snapshot& into);
  void make_service(const NamedAs& service, Snapshot& into);
  void make_policies(const Dirty& dirty, Snapshot& into);
  void put_address(const std::string& name, const istio::workload::Address* address,
                   Snapshot& into);
  void put_policy(const std::string& name, const istio::security::Authorization* policy,
                  Snapshot& into);
  void count_account(const Change& change);
  void count_enrolled(const std::string& node, bool enrolled);

  const Settings settings_;
  const std::uint64_t first_version_;
  std::shared_ptr<const World> world_;
  std::shared_ptr<const World> selected_from_;  // what the selection borrows from
  WorldIndex index_;
  std::optional<PolicySelection> selection_;
  // Of objects that come to several resources, the names of those.
  std::map<manifest::ObjectKey, std::vector<std::string>> made_;
  std::set<std::string> made_of_peers_;
  std::map<manifest::ObjectKey, std::vector<PolicyNote>> notes_;
  std::map<std::string, NodePods> nodes_;
  std::set<std::string> touched_nodes_;
  bool changed_ = false;
  Work work_;
  std::shared_ptr<const Snapshot> last_;
};

}  // namespace mesh::control
