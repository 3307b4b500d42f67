#pragma once
// Replica: one weft-control on an API server. Owns the connection, and what works on it: the copy
// of all objects, who calls, the authority, the Lease, and, while it holds that, what is written.
//
// Threads: one of its own (that of Http); the rest from any other.

#include <chrono>
#include <expected>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "control/ca/authority.h"
#include "control/caller.h"
#include "control/hub.h"
#include "control/kubernetes/acknowledged.h"
#include "control/kubernetes/ca_store.h"
#include "control/kubernetes/waypoint_parts.h"
#include "control/mesh_state.h"
#include "control/store.h"
#include "mesh/kube/config.h"
#include "mesh/kube/election.h"

namespace mesh::control::kubernetes {

class Replica {
 public:
  struct Options {
    kube::Access access;
    std::string ns, pod;
    std::set<std::string, std::less<>> node_accounts;
    std::chrono::seconds rotation_wait{0};
    bool istio_root_map = true;  // see RootMaps
    WaypointOptions waypoints = {};
    std::string mesh_map = {};  // the ConfigMap with the mesh's configuration; empty: none
  };

  // Publishes to `hub`, sets `authority`, and calls `authority_changed` after each change of it and
  // `state_changed` after each change of the objects, `mesh_changed` after each of the mesh's
  // configuration. All must outlive this.
  // Errors: what is wrong with the credentials. A server that does not answer is waited for.
  static std::expected<std::unique_ptr<Replica>, std::string> open(
      Options options, Hub& hub, ca::Authority& authority, telemetry::Log& log,
      std::function<void(const StoreState&)> state_changed,
      std::function<void(const MeshState&)> mesh_changed, std::function<void()> authority_changed);
  // Gives the Lease back.
  ~Replica();

  // Ends everything that runs, without a word; the rest may still be asked. Before what was given
  // to open() ends.
  void stop();

  Authenticator& tokens();
  void settle(int timeout_ms);

  std::expected<Done, std::string> rotate();
  CaStore::Status ca_status() const;
  // While the root is replaced: who does not trust the roots of now yet, as far as is known here.
  std::vector<Unacknowledged> ca_waiting() const;
  kube::Election::Health election() const;
  // The ConfigMap with the mesh's configuration, "NAMESPACE/NAME"; empty: there is none. And its
  // MeshMap::version().
  std::string mesh_map() const;
  std::optional<std::string> mesh_map_version() const;
  // What the debug pages of every replica take; empty while there is none.
  std::string debug_token() const;
  // For /ready and the debug pages: what does not work now, each with the server's words.
  std::vector<std::string> problems() const;
  // In Prometheus' format.
  std::string metrics() const;

 private:
  struct Impl;
  explicit Replica(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::control::kubernetes
