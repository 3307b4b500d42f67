#pragma once
// World -> what one waypoint is configured with: Envoy's listeners, clusters and endpoints. Pure.
//
// Only extensions of Envoy's own are used, so that an Envoy from anywhere is a waypoint. What each
// part says, and how it differs from what the incumbent sends, is in README.md.

#include <array>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "control/envoy/catalog.h"
#include "control/envoy/clusters.h"
#include "control/envoy/pieces.h"
#include "control/translate_policies.h"

namespace mesh::control {

enum class EnvoyType : std::uint8_t { kCluster, kEndpoint, kListener, kRoute };
inline constexpr std::size_t kEnvoyTypes = 4;
// In the order in which they are sent: what is named before what names it.
inline constexpr std::array<EnvoyType, kEnvoyTypes> kEnvoyOrder = {
    EnvoyType::kCluster, EnvoyType::kEndpoint, EnvoyType::kListener, EnvoyType::kRoute};

std::string_view type_url(EnvoyType type);

struct WaypointConfig {
  // By name, the message's bytes; equal content has equal bytes.
  std::array<std::map<std::string, std::string, std::less<>>, kEnvoyTypes> resources;
  std::vector<PolicyNote> notes;
  // By cluster, of those whose endpoints are among the resources: whom that leaves out.
  std::map<std::string, PolicyNote> endpoint_notes;
  std::vector<ClusterUse> filled;  // those clusters
  std::set<std::string> inlined;   // keys of services whose clusters have them within

  const auto& of(EnvoyType type) const { return resources[static_cast<std::size_t>(type)]; }
};

// What the endpoints of such a cluster are by now.
std::string endpoints_bytes(const Catalog& catalog, const WaypointClient& client,
                            const ClusterUse& use);
// Whom they leave out by now.
void note_left_out(const ClusterUse& use, std::map<std::string, PolicyNote>& notes);

WaypointConfig translate_waypoint(const World& world, const Settings& settings,
                                  const Catalog& catalog, const WaypointClient& client);

}  // namespace mesh::control
