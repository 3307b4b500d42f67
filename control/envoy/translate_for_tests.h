#pragma once
// What the waypoint shop/waypoint of a world is sent, for tests of single features.

#include "control/envoy/translate.h"

namespace mesh::control {

// Where pod shop/waypoint-0 is, if there is one. Fails the test when there is no such waypoint.
WaypointConfig translate_for_tests(const World& world, const Settings& settings);

}  // namespace mesh::control
