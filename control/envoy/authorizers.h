#pragma once
// Whom policies of action CUSTOM ask, as filters: which requests (shadow rules), and of whom. What
// cannot be asked is denied. Pure.

#include <string>
#include <vector>

#include "control/envoy/build.h"
#include "control/envoy/rbac_rules.h"

namespace envoy::extensions::filters::network::http_connection_manager::v3 {
class HttpConnectionManager;
}

namespace mesh::control {

// Why a provider cannot be asked from a waypoint of `ns`; empty: it can.
std::string authorizer_problem(const manifest::MeshConfig& mesh, const Catalog& catalog,
                               const std::string& ns, const std::string& provider);

// The filters of every CUSTOM policy for the service (nullptr: for the waypoint as a whole), before
// any other filter.
void add_authorizers(
    Build& build, const CatalogService* service,
    envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager* into);

}  // namespace mesh::control
