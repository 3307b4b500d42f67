#pragma once
// /debug/status: what would be written into the status of each object, where there is no API
// server to write it to.

#include <string>

#include "control/status.h"

namespace mesh::control {

// JSON: {"statuses": [{kind, namespace, name, observedGeneration, conditions, parents,
// listeners}]}; a condition is {type, status: "True"|"False", reason, message}.
std::string status_page(const World& world, const Settings& settings);

}  // namespace mesh::control
