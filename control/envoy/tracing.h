#pragma once
// Where a chain's spans go, as Envoy says it. Pure.

#include "control/envoy/build.h"
#include "control/telemetry/scopes.h"

namespace envoy::extensions::filters::network::http_connection_manager::v3 {
class HttpConnectionManager;
}

namespace mesh::control {

// What Telemetry says of a chain: of a service, or (nullptr) of workloads.
ChainTelemetry telemetry_for(const Build& build, const CatalogService* service);

// Nothing is traced when the collector is not there, and the object that names it is noted.
void fill_tracing(
    Build& build, const ChainTracing& tracing,
    envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager* into);

}  // namespace mesh::control
