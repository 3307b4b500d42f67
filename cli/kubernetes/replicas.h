#pragma once
// The replicas of control on a cluster, each asked through a port-forward with the token that they
// share (Secret weft-debug-token).

#include "cli/control_client.h"
#include "cli/kubernetes/cluster.h"

namespace mesh::cli {

inline constexpr std::uint16_t kDebugPort = 15014;

// Those that run and are not about to end. Errors: there is none; no token; the server refuses.
// The targets use a copy of `cluster`.
Outcome<std::vector<ControlTarget>> controls_of_cluster(Cluster& cluster, const std::string& ns);

}  // namespace mesh::cli
