#pragma once
// The filter chains of main_internal: one for each port of a service, and those of workloads.

#include <string>

#include "control/envoy/catalog.h"

namespace envoy::config::listener::v3 {
class FilterChain;
}

namespace mesh::control {

struct Build;

// Authenticate, authorize, route: the chain's name is its cluster's.
envoy::config::listener::v3::FilterChain http_chain(Build& build, const CatalogService& service,
                                                    const CatalogPort& port);
envoy::config::listener::v3::FilterChain tcp_chain(Build& build, const CatalogService& service,
                                                   const CatalogPort& port);

// For pods that the waypoint stands before: authorize, and on to the very address.
envoy::config::listener::v3::FilterChain direct_http_chain(Build& build);
envoy::config::listener::v3::FilterChain direct_tcp_chain(Build& build);

}  // namespace mesh::control
