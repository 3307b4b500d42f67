#pragma once
// Extension providers of the mesh's configuration, as a waypoint reaches them.

#include <cstdint>
#include <expected>
#include <string>

#include "control/envoy/catalog.h"

namespace envoy::config::core::v3 {
class GrpcService;
}

namespace mesh::control {

struct Build;

// Why nobody can be asked at that port of a provider's service (nullptr: it is not there); empty:
// somebody can. `grpc`: its port must be declared to speak it.
std::string provider_problem(const CatalogService* service, const std::string& host,
                             std::uint16_t port, bool grpc);

// The cluster of a provider that is asked over gRPC, which is sent from now on; or why it cannot be
// asked. `Provider`: name, ns, host and port.
template <class Provider>
std::expected<std::string, std::string> grpc_cluster(Build& build, const Provider& provider);

void fill_grpc_service(const std::string& cluster, const std::string& host,
                       envoy::config::core::v3::GrpcService* into);

}  // namespace mesh::control
