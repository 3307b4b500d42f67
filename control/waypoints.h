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

// What became of a label that asks for a waypoint.
enum class Binding {
  kNone,          // nothing asks for one, or what asks does not mean this kind of traffic
  kBound,         // the waypoint is there and takes it
  kMissing,       // there is no such waypoint
  kDenied,        // its listener does not admit the namespace
  kWrongTraffic,  // the object itself asks a waypoint that is not for this kind of traffic
  kForNothing,    // the waypoint is labelled `waypoint-for: none`
};

struct WaypointBinding {
  Binding outcome = Binding::kNone;
  std::string ns;  // the waypoint's, unless kNone
  std::string name;
};

WaypointBinding bind_waypoint(const World& world, const manifest::Metadata& object,
                              WaypointTraffic traffic);

// A Gateway of one of our waypoint classes.
bool is_waypoint(const manifest::Gateway& gateway);

// none: no waypoint is asked for.
std::optional<WaypointAddress> waypoint_of(const World& world, const Settings& settings,
                                           const manifest::Metadata& object,
                                           WaypointTraffic traffic);

// The Gateway that a waypoint's own Pod or Service belongs to; nullptr for everything else.
const manifest::Gateway* own_gateway(const World& world, const manifest::Metadata& object);

}  // namespace mesh::control
