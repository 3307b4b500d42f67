#pragma once
// Build: what the parts of one waypoint's translation share.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "control/envoy/catalog.h"
#include "control/envoy/clusters.h"
#include "control/envoy/destination_rules.h"
#include "control/envoy/pieces.h"
#include "control/translate_policies.h"

namespace mesh::control {

struct Build {
  Build(const World& in_world, const Settings& in_settings, const Catalog& in_catalog,
        const WaypointClient& in_client);

  // The waypoint stands before the service.
  bool owns(const CatalogService& service) const;

  // The name of the cluster for a port of a service, which is sent from now on. A subset that does
  // not exist has a name too, and no cluster: who is sent there is refused.
  std::string cluster(const CatalogService& service, std::uint16_t port, bool http,
                      std::string_view subset = {});

  void note(manifest::ObjectKey object, std::string text);

  const World& world;
  const Settings& settings;
  const Catalog& catalog;
  const WaypointClient& client;
  const std::string host;  // the waypoint's own
  const DestinationRules rules;
  std::map<std::string, ClusterUse> clusters;  // by name
  std::vector<std::string> limiters;           // providers of global limits: its stage is its place
  std::vector<PolicyNote> notes;
};

}  // namespace mesh::control
