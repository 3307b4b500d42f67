#pragma once
// /debug/status: what would be written into the status of each object, where there is no API
// server to write it to.

#include <string>
#include <vector>

#include "control/status.h"
#include "mesh/manifest/parse.h"

namespace mesh::control {

// `problems`: the errors that have an object are what is said of that.
// JSON: {"statuses": [{kind, namespace, name, observedGeneration, conditions, parents,
// listeners}]}; a condition is {type, status: "True"|"False", reason, message}.
std::string status_page(const World& world, const Settings& settings,
                        const std::vector<manifest::Problem>& problems);

}  // namespace mesh::control
