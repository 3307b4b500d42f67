#pragma once
// The AuthorizationPolicies that a waypoint enforces on a chain, as filters. Pure.
//
// CUSTOM asks somebody: see authorizers.h. Where nobody can be asked (a TCP chain, a provider that
// is not known), what it would ask about is denied.

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

// "ns[shop]-policy[p]-rule[0]"
std::string rule_name(const manifest::AuthorizationPolicy& policy, std::size_t index);

// What a CUSTOM policy would ask about, denied.
void add_denied(const manifest::AuthorizationPolicy& policy, RbacSight sight,
                envoy::config::rbac::v3::RBAC& into);

// One RBAC filter: what is enforced, and what is only tried (dry-run).
struct RbacFilter {
  std::shared_ptr<envoy::config::rbac::v3::RBAC> rules, shadow;  // either may be null
  std::string rules_prefix;                                      // shadowRulesStatPrefix
};

// In the order in which they are asked; on an HTTP chain without CUSTOM.
std::vector<RbacFilter> authorization_filters(const World& world, const Settings& settings,
                                              const manifest::Gateway& gateway,
                                              const CatalogService* service, RbacSight sight);

}  // namespace mesh::control
