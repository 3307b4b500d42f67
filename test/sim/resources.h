#pragma once
// Resources as the bytes that control sends: the protobuf encoding of what the simulated cluster
// uses of istio.workload.Address and istio.security.Authorization, written by hand, so that what is
// broken on purpose can be written too.

#include <string>

#include "mesh/policy/policy.h"
#include "mesh/workload/workload.h"

namespace mesh::sim {

std::string encode(const workload::Workload& workload);
std::string encode(const workload::Service& service);
// An unusable policy becomes one with an action or a field that nobody knows.
std::string encode(const policy::Policy& policy);
// What is no message at all.
std::string garbage();

}  // namespace mesh::sim
