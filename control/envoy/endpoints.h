#pragma once
// Endpoints: where the workloads behind a service are, by locality and priority, as one waypoint
// sees them.
//
// A workload of the mesh is reached through connect_originate, whose metadata says the address
// that its tunnel is for; others are called directly. A service with a waypoint of its own is
// reached through that one, so that what it enforces is not passed by.

#include <string>

#include "control/envoy/catalog.h"
#include "control/envoy/clusters.h"

namespace envoy::config::endpoint::v3 {
class ClusterLoadAssignment;
}

namespace mesh::control {

// Localities are told apart: by outlier detection with its locality setting, or by the service's
// traffic distribution.
bool weighs_localities(const manifest::TrafficPolicy& policy, const CatalogService& service);

envoy::config::endpoint::v3::ClusterLoadAssignment service_endpoints(const Catalog& catalog,
                                                                     const WaypointClient& client,
                                                                     const ClusterUse& use);

// Whom service_endpoints leaves out because they have no tunnel, in words; empty: nobody.
std::string left_out(const ClusterUse& use);

// Of a ServiceEntry whose endpoints are names.
envoy::config::endpoint::v3::ClusterLoadAssignment named_endpoints(const WaypointClient& client,
                                                                   const ClusterUse& use);

}  // namespace mesh::control
