#pragma once
// What `weft analyze` finds. Each rule is a pure function over an Inventory.

#include <string>
#include <vector>

#include "cli/analyze/inventory.h"

namespace mesh::cli {

enum class Weight { kError, kWarning, kInfo };

struct Finding {
  Weight weight = Weight::kWarning;
  std::string code = {};    // "WEFT002"
  std::string object = {};  // "Service shop/web"
  Place place = {};
  std::string message = {};
  std::string fix = {};
};

// The codes, in their order; a code's meaning never changes.
struct CodeInfo {
  const char* code;
  const char* title;
};
inline constexpr CodeInfo kCodes[] = {
    {"WEFT001", "a policy has no effect where it is attached"},
    {"WEFT002", "a waypoint is named that does not exist"},
    {"WEFT003", "a waypoint is named that is not ready"},
    {"WEFT004", "a waypoint of another namespace does not admit this one"},
    {"WEFT005", "a waypoint is named that is not for this kind of traffic"},
    {"WEFT006", "a port's name does not say its protocol, or a wrong one"},
    {"WEFT007", "a selector matches nothing"},
    {"WEFT008", "PeerAuthentications contradict each other"},
    {"WEFT009", "a route leads to a backend that does not exist"},
    {"WEFT010", "a route leads to another namespace without a ReferenceGrant"},
    {"WEFT011", "a service has no endpoints"},
    {"WEFT012", "a pod in its node's network cannot be in the mesh"},
    {"WEFT013", "a manifest cannot be read"},
    {"WEFT014", "a field has no effect"},
    {"WEFT015", "a policy for Istio's whole mesh is for one namespace here"},
};

using Findings = std::vector<Finding>;

void find_waypoint_faults(const Inventory& all, Findings& found);
void find_policy_faults(const Inventory& all, Findings& found);
void find_route_faults(const Inventory& all, Findings& found);
void find_service_faults(const Inventory& all, Findings& found);

// All of them, by weight, then by place.
Findings analyze(const Inventory& all);

}  // namespace mesh::cli
