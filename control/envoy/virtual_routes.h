#pragma once
// VirtualServices of a service's port: their rules in the order in which they are written.
//
// A waypoint does not know its callers' labels: a match on sourceLabels or sourceNamespace never
// holds here, and a rule that has no other match is left out, with a note.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "control/envoy/catalog.h"

namespace envoy::config::route::v3 {
class VirtualHost;
}

namespace mesh::control {

struct Build;

// False: no rule is for that port, and `into` is as it was.
bool add_virtual_routes(Build& build, const CatalogService& service, const CatalogPort& port,
                        envoy::config::route::v3::VirtualHost* into);

// Of the tcp rules: clusters with their weights; empty: no rule is for the port.
std::vector<std::pair<std::string, std::uint32_t>> virtual_tcp_backends(
    Build& build, const CatalogService& service, const CatalogPort& port);

}  // namespace mesh::control
