#pragma once
// The AuthorizationPolicies that a waypoint enforces on a chain, as filters. Pure.
//
// CUSTOM asks somebody whom only the incumbent's mesh configuration names: until that is read here,
// what it would ask about is denied.

#include <memory>
#include <string>
#include <vector>

#include "control/envoy/catalog.h"
#include "control/envoy/rbac_rules.h"

namespace envoy::config::rbac::v3 {
class RBAC;
}

namespace mesh::control {

// Whether a policy with these targets, in `ns`, is for the service or for the whole waypoint.
// `service`: nullptr on chains of workloads.
bool targets_chain(const std::vector<manifest::TargetRef>& targets, const std::string& ns,
                   const Settings& settings, const manifest::Gateway& gateway,
                   const CatalogService* service);

// One RBAC filter: what is enforced, and what is only tried (dry-run).
struct RbacFilter {
  std::shared_ptr<envoy::config::rbac::v3::RBAC> rules, shadow;  // either may be null
  std::string rules_prefix;                                      // shadowRulesStatPrefix
};

// In the order in which they are asked.
std::vector<RbacFilter> authorization_filters(const World& world, const Settings& settings,
                                              const manifest::Gateway& gateway,
                                              const CatalogService* service, RbacSight sight);

}  // namespace mesh::control
