#pragma once
// Whether Deployments and DaemonSets have come to run what they ask for.

#include <nlohmann/json_fwd.hpp>

#include <chrono>
#include <string>
#include <vector>

#include "cli/kubernetes/cluster.h"

namespace mesh::cli {

struct Progress {
  bool done = false;
  std::string text;  // "Deployment weft-system/weft-control: 1 of 2 ready"
};

// Of a Deployment or DaemonSet as the server has it. Pure.
Progress progress_of(const nlohmann::json& workload);

// Why a pod does not run, or is not ready; "" when it is. Pure.
std::string trouble_of(const nlohmann::json& pod);

// Until every Deployment and DaemonSet among `objects` is done; each change of progress is said on
// stderr. The exit code: kOk, kFailed, or kTimedOut after saying what hinders whom.
int wait_for_rollout(Cluster& cluster, const std::vector<nlohmann::json>& objects,
                     std::chrono::milliseconds timeout);

}  // namespace mesh::cli
