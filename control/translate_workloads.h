#pragma once
// World -> istio.workload.Address: a Workload for each place where something runs, a Service for
// each name in front of them. Pure.

#include <map>
#include <string>

#include "control/world.h"

namespace istio::workload {
class Address;
}

namespace mesh::control {

// By resource name: a workload's uid, a service's "NAMESPACE/HOSTNAME".
using Addresses = std::map<std::string, istio::workload::Address>;

Addresses translate_workloads(const World& world, const Settings& settings);

}  // namespace mesh::control
