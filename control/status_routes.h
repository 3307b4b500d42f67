#pragma once
// The status of routes: their parents of ours, and the backends that they name.

#include <string>
#include <vector>

#include "control/status.h"

namespace mesh::control {

// Appends the routes that have a parent of ours: a Service, or a Gateway of a waypoint class.
void add_route_statuses(const World& world, std::vector<ObjectStatus>& into);

// Whether a route of `kind` in `ns` may send to `target`: a Service, of its own namespace or of one
// with a ReferenceGrant. Says nothing about whether it is there.
bool may_route_to(const World& world, manifest::Kind kind, const std::string& ns,
                  const manifest::Target& target);

}  // namespace mesh::control
