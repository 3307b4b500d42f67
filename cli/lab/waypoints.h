#pragma once
// What the control plane makes of a waypoint's Gateway on Kubernetes, the lab makes itself: a
// ServiceAccount, a Service and one Pod of weft-waypoint, each with the Gateway's name.

#include <string>

#include "cli/outcome.h"

namespace mesh::cli::lab {

// Brings `manifests` in line with the Gateways there: parts of a new one are written, those of one
// that is gone are removed. A Gateway whose Service somebody else has written is left to them, and
// so is one of another class. `program` is weft-waypoint's path. Errors: a file that cannot be read
// or written.
Outcome<Done> provide_waypoints(const std::string& manifests, const std::string& program);

}  // namespace mesh::cli::lab
