#pragma once
// The annotation weft.dev/load-balancer of a DestinationRule or, where that has none, of the
// Service or ServiceEntry: "peak-ewma", a balancer that Envoy has no name for. weft-waypoint is
// told by a cluster's metadata; who does not know it keeps to the cluster's lb_policy.

#include <string>
#include <string_view>

#include "control/envoy/clusters.h"

namespace envoy::config::cluster::v3 {
class Cluster;
}

namespace mesh::control {

inline constexpr std::string_view kBalancerAnnotation = "weft.dev/load-balancer";
inline constexpr std::string_view kPeakEwma = "peak-ewma";

// What the annotation asks for, as metadata of the cluster whose balancing is filled in. Gives what
// of it is not done, and why; empty: all is.
std::string fill_own_balancer(const ClusterUse& use, envoy::config::cluster::v3::Cluster& to);

}  // namespace mesh::control
