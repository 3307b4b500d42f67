#pragma once
// What a waypoint of a world is sent, for tests of single features.

#include <string>

#include "control/envoy/translate.h"

namespace mesh::control {

// The waypoint of that Gateway: where the pod NAME-0 is, if there is one. Fails the test when there
// is no such Gateway.
WaypointConfig translate_for_tests(const World& world, const Settings& settings,
                                   const std::string& ns = "shop",
                                   const std::string& name = "waypoint");

}  // namespace mesh::control
