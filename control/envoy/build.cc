#include "control/envoy/build.h"

#include <utility>

namespace mesh::control {

Build::Build(const World& in_world, const Settings& in_settings, const Catalog& in_catalog,
             const WaypointClient& in_client)
    : world(in_world),
      settings(in_settings),
      catalog(in_catalog),
      client(in_client),
      host(in_client.gateway->metadata.name + "." + in_client.gateway->metadata.ns + ".svc." +
           in_settings.cluster_domain),
      rules(in_world, in_settings, *in_client.gateway) {}

bool Build::owns(const CatalogService& service) const { return service.waypoint == host; }

std::string Build::cluster(const CatalogService& service, std::uint16_t port, bool http,
                           std::string_view subset) {
  const bool inbound = owns(service);
  std::string name = inbound ? inbound_cluster(service, port, http, subset)
                             : outbound_cluster(service, port, subset);
  const CatalogPort* known = service.port(port);
  const manifest::DestinationRule* rule = rules.of(service);
  const manifest::Subset* found = find_subset(rule, subset);
  if (known == nullptr || (found == nullptr && !subset.empty())) return name;
  clusters.emplace(name, ClusterUse{.name = name,
                                    .service = &service,
                                    .port = *known,
                                    .inbound = inbound,
                                    .http = http,
                                    .rule = rule,
                                    .subset = found});
  return name;
}

void Build::note(manifest::ObjectKey object, std::string text) {
  notes.push_back({std::move(object), std::move(text)});
}

}  // namespace mesh::control
