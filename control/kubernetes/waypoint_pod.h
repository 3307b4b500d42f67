#pragma once
// The pod of a waypoint: ours, or stock Envoy with weft-sds beside it, which keeps its identity.
// Pure.

#include <nlohmann/json_fwd.hpp>

#include "control/kubernetes/waypoint_parts.h"

namespace mesh::control::kubernetes {

enum class WaypointProxy : bool { kWeft, kEnvoy };

// Its spec. The proxy's container is named "waypoint" in both, which is what parameters know it by;
// beside Envoy there is the sidecar "identity". The key of their certificate is in memory only.
nlohmann::json waypoint_pod(const Settings& settings, const WaypointOptions& options,
                            const manifest::Gateway& gateway, WaypointProxy proxy);

}  // namespace mesh::control::kubernetes
