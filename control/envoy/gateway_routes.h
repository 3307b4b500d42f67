#pragma once
// HTTPRoutes and GRPCRoutes of a service's port, in the Gateway API's order of precedence.
//
//   - a regular expression comes after exact paths and before prefixes: a prefix "/" would hide it
//   - a backend that is not there, or that no ReferenceGrant permits, answers its share with 500
//   - a rule with a filter that nobody knows answers 500
//   - routes count from the service's namespace and the waypoint's

#include <vector>

#include "control/envoy/catalog.h"

namespace envoy::config::route::v3 {
class VirtualHost;
}

namespace mesh::control {

struct Build;

// False: no route is for that port, and `into` is as it was.
bool add_gateway_routes(Build& build, const CatalogService& service, const CatalogPort& port,
                        envoy::config::route::v3::VirtualHost* into);

// TCPRoutes: the clusters of the port with their weights; empty: no route is for it.
std::vector<std::pair<std::string, std::uint32_t>> tcp_backends(Build& build,
                                                                const CatalogService& service,
                                                                const CatalogPort& port);

}  // namespace mesh::control
