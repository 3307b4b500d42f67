#pragma once
// Which waypoint stands before a service or a workload. Pure.
//
// A label that names a waypoint is a requirement. When that waypoint does not exist, the answer is
// still the host name it would have; when it refuses the namespace, or is not for this kind of
// traffic although the object itself names it, the answer is NAME.NAMESPACE.refused.invalid. Either
// way the data plane finds nothing there and refuses. Only a namespace's label is read as "for what
// the waypoint handles", and `waypoint-for: none` as "for nothing".

#include <optional>
#include <string>

#include "control/world.h"

namespace mesh::control {

enum class WaypointTraffic { kService, kWorkload };

struct WaypointAddress {
  std::string ns;
  std::string hostname;
};

// none: no waypoint is asked for.
std::optional<WaypointAddress> waypoint_of(const World& world, const Settings& settings,
                                           const manifest::Metadata& object,
                                           WaypointTraffic traffic);

// The Gateway that a waypoint's own Pod or Service belongs to; nullptr for everything else.
const manifest::Gateway* own_gateway(const World& world, const manifest::Metadata& object);

}  // namespace mesh::control
