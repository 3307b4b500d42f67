#pragma once
// `weft proxy-status` and `weft wait`: which node and which waypoint has which version of the
// configuration.

#include <chrono>
#include <vector>

#include "cli/session.h"

namespace mesh::cli {

int proxy_status(const Session& session);

// Returns when every node with enrolled pods and every waypoint has applied the version that was
// current at the start, or a later one, on all its workers. kTimedOut, and names who has not.
int wait_for_mesh(const Session& session, std::chrono::milliseconds timeout);

// What a replica of control says, and which of its versions is waited for. Versions are each
// replica's own.
struct ReplicaSync {
  std::string name;
  Outcome<Sync> sync;
  std::uint64_t wanted = 0;
};

// The nodes' states, one each: of several replicas that know a node, the one it is connected to.
struct NodeState {
  NodeSync node;
  std::string replica = "";  // it is connected to; "" when to none
  std::uint64_t wanted = 0;  // of that replica

  bool has_it() const { return node.connected && node.acked >= wanted; }
};
std::vector<NodeState> node_states(const std::vector<ReplicaSync>& replicas);
// Of waypoints' proxies alike: `node.node` is NAMESPACE/POD.
std::vector<NodeState> waypoint_states(const std::vector<ReplicaSync>& replicas);

// Empty when every node with enrolled pods, and every waypoint, has the wanted version; else names
// those that do not, and the replicas that do not answer.
std::string waiting_for(const std::vector<ReplicaSync>& replicas);

// "90s", "2m", "500ms", "30" (seconds). Errors: anything else, or more than a day.
Outcome<std::chrono::milliseconds> parse_duration(const std::string& text);

}  // namespace mesh::cli
