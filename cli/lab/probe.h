#pragma once
// Runs a container's readiness probe once, from inside its pod.

#include <string>

#include "cli/lab/model.h"
#include "cli/lab/process.h"

namespace mesh::cli::lab {

struct ProbeTarget {
  std::string netns = "";    // name of the pod's network namespace
  std::string address = "";  // the pod's own
  Place place{};             // for exec
};

// Cost: blocks for at most one second, whatever timeoutSeconds says.
bool probe_once(const Probe& probe, const ProbeTarget& target);

}  // namespace mesh::cli::lab
