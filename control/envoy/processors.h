#pragma once
// The annotation weft.dev/external-processor of a Service or ServiceEntry, or of a waypoint's
// Gateway for all that it stands before: the weftExtProcGrpc of the mesh's configuration that its
// requests and responses are shown to. The service's own counts. What cannot be shown is denied.

#include <string_view>

#include "control/envoy/catalog.h"

namespace envoy::config::listener::v3 {
class FilterChain;
}
namespace envoy::extensions::filters::network::http_connection_manager::v3 {
class HttpConnectionManager;
}

namespace mesh::control {

struct Build;

inline constexpr std::string_view kProcessorAnnotation = "weft.dev/external-processor";

// The filter of a chain for the service (nullptr: for workloads), if one is asked for: after all
// policy, before limits. Where the provider cannot be asked, everything is denied, and it is noted.
void add_processor(
    Build& build, const CatalogService* service,
    envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager* into);

// What turned out not to be HTTP, though it was looked at: denied, if a processor is asked for.
void deny_unprocessed(const Build& build, const CatalogService* service,
                      envoy::config::listener::v3::FilterChain* into);

}  // namespace mesh::control
