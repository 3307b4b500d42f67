#pragma once
// What policies say, for people. Pure.

#include <string>
#include <vector>

#include "cli/analyze/inventory.h"

namespace mesh::cli {

// "methods", "when request.auth.claims[x]": a condition that needs a request, which only a waypoint
// sees; "" when there is none.
std::string first_request_field(const manifest::AuthorizationPolicy& policy);

std::string action_name(manifest::AuthorizationAction action);

// "from principals a,b; to ports 80 …", one line a rule.
std::vector<std::string> rule_lines(const manifest::AuthorizationPolicy& policy);

// Who enforces a policy on a pod, if anybody does.
struct AppliedPolicy {
  const manifest::AuthorizationPolicy* policy = nullptr;
  std::string by;       // "ztunnel", or "waypoint NAMESPACE/NAME"
  std::string refused;  // Place::refused: `policy` is what may stand for it
};
std::vector<AppliedPolicy> policies_for(const Inventory& all, const manifest::Pod& pod);

// The mode that PeerAuthentications give a pod, and which one decides: "STRICT (shop/default)".
std::string mtls_of(const Inventory& all, const manifest::Pod& pod);

}  // namespace mesh::cli
