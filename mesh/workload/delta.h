#pragma once
// What one response of the control plane changes: good resources, removed ones, rejected ones.

#include <string>
#include <vector>

#include "mesh/policy/policy.h"
#include "mesh/workload/workload.h"

namespace mesh::workload {

struct Delta {
  std::vector<WorkloadPtr> workloads = {};
  std::vector<ServicePtr> services = {};
  // Not understood. Where there is a good version of that name it stays in force; see
  // Directory::find_refused() for the others.
  std::vector<RefusedPtr> rejected = {};
  std::vector<std::string> removed = {};  // by resource name: a workload's uid or a service's key

  std::vector<policy::PolicyPtr> policies = {};  // unusable ones too: they deny their scope
  std::vector<std::string> removed_policies = {};

  // This response was the last of the control plane's first answer of its kind.
  bool addresses_complete = false;
  bool policies_complete = false;

  bool empty() const {
    return workloads.empty() && services.empty() && rejected.empty() && removed.empty() &&
           policies.empty() && removed_policies.empty() && !addresses_complete &&
           !policies_complete;
  }
};

}  // namespace mesh::workload
