#pragma once
// What a waypoint of a world is sent, for tests of single features.

#include <set>
#include <string>

#include "control/envoy/translate.h"

namespace mesh::control {

// The waypoint of that Gateway: where the pod NAME-0 is, if there is one. Fails the test when there
// is no such Gateway. `checks_through_tunnels`: it is a weft-waypoint, no Envoy.
WaypointConfig translate_for_tests(const World& world, const Settings& settings,
                                   const std::string& ns = "shop",
                                   const std::string& name = "waypoint",
                                   bool checks_through_tunnels = true);

// The same of manifests and a mesh's configuration, both without a problem.
struct ToldWaypoint {
  std::string main;                // the listener main_internal, as JSON
  std::set<std::string> clusters;  // their names
  std::string notes;               // "KIND NAMESPACE/NAME: text", a line each
};
ToldWaypoint tell_for_tests(const std::string& manifests, const std::string& mesh);

}  // namespace mesh::control
