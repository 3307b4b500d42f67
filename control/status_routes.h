#pragma once
// The status of routes: their parents of ours, and the backends that they name.

#include <string>
#include <vector>

#include "control/status.h"
#include "mesh/manifest/gateway_api.h"

namespace mesh::control {

// Appends the routes that have a parent of ours: a Service, or a Gateway of a waypoint class.
void add_route_statuses(const World& world, const Settings& settings,
                        std::vector<ObjectStatus>& into);

// Whether one of the parents of a route in `ns` is the Service `target` of another namespace: it is
// then a consumer's route, for requests that come from `ns`, and its backend needs no grant to be
// what they asked for anyway.
bool is_consumed(const std::vector<manifest::ParentRef>& parents, const std::string& ns,
                 const manifest::Target& target);

// Whether a route of `kind` in `ns` may send to `target`: a Service, of its own namespace or of one
// with a ReferenceGrant. Says nothing about whether it is there.
bool may_route_to(const World& world, manifest::Kind kind, const std::string& ns,
                  const manifest::Target& target);

}  // namespace mesh::control
