#include "control/envoy/providers.h"

#include "control/envoy/build.h"
#include "envoy/core_source.pb.h"

namespace mesh::control {

std::string provider_problem(const CatalogService* service, const std::string& host,
                             std::uint16_t port, bool grpc) {
  if (service == nullptr) return "there is no service " + host;
  const CatalogPort* found = service->port(port);
  if (found == nullptr) return host + " has no port " + std::to_string(port);
  if (grpc && found->protocol != PortProtocol::kHttp2) {
    return "port " + std::to_string(port) + " of " + host +
           " is not declared as gRPC (call it grpc-…, or set its appProtocol)";
  }
  return {};
}

template <class Provider>
std::expected<std::string, std::string> grpc_cluster(Build& build, const Provider& provider) {
  const CatalogService* service =
      build.catalog.find_provider(build.client.gateway->metadata.ns, provider.ns, provider.host);
  const std::string problem = provider_problem(service, provider.host, provider.port, true);
  if (!problem.empty()) return std::unexpected("provider " + provider.name + ": " + problem);
  return build.cluster(*service, provider.port, true);
}

template std::expected<std::string, std::string> grpc_cluster(Build&,
                                                              const manifest::LimitProvider&);
template std::expected<std::string, std::string> grpc_cluster(Build&,
                                                              const manifest::ProcessorProvider&);

void fill_grpc_service(const std::string& cluster, const std::string& host,
                       envoy::config::core::v3::GrpcService* into) {
  into->mutable_envoy_grpc()->set_cluster_name(cluster);
  into->mutable_envoy_grpc()->set_authority(host);
}

}  // namespace mesh::control
