#pragma once
// Clusters: those that every waypoint has, and one for each port and subset of a service.

#include <string>
#include <string_view>

#include "control/envoy/catalog.h"
#include "control/envoy/pieces.h"

namespace envoy::config::cluster::v3 {
class Cluster;
}

namespace mesh::control {

// main_internal, connect_originate and encap.
envoy::config::cluster::v3::Cluster main_internal_cluster();
envoy::config::cluster::v3::Cluster encap_cluster();
envoy::config::cluster::v3::Cluster connect_originate_cluster(const Settings& settings,
                                                              const WaypointClient& client);

struct ClusterUse {
  std::string name;
  const CatalogService* service = nullptr;
  CatalogPort port;
  bool inbound = false;  // the waypoint stands before the service
  bool http = true;
  const manifest::DestinationRule* rule = nullptr;
  const manifest::Subset* subset = nullptr;
};

// What the rule says or, where it is silent, the service itself; empty: neither does.
std::string_view annotation_of(const ClusterUse& use, std::string_view name);

// Another waypoint stands before the service, and is what is called.
bool calls_waypoint(const ClusterUse& use);

// The rule asks for the mesh's mutual TLS, which tunnels have: whoever has none is not called.
bool needs_tunnel(const ClusterUse& use);

// Its connections, not its requests, are told apart by who makes them.
bool hashes_connections(const ClusterUse& use);

// `problem`: what of the rule cannot be honoured; then the cluster has no endpoints, and whoever
// calls it is refused.
envoy::config::cluster::v3::Cluster service_cluster(const WaypointClient& client,
                                                    const ClusterUse& use, std::string& problem);

}  // namespace mesh::control
