#pragma once
// The status of routes: their parents of ours, and the backends that they name.

#include <vector>

#include "control/status.h"

namespace mesh::control {

// Appends the routes that have a parent of ours: a Service, or a Gateway of a waypoint class.
void add_route_statuses(const World& world, std::vector<ObjectStatus>& into);

}  // namespace mesh::control
