#include "mesh/policy/authorize.h"

#include <array>

namespace mesh::policy {

Verdict authorize(const Selection& policies, const Connection& connection) {
  const std::array scopes = {policies.global, policies.of_namespace};

  for (const PolicyIndex* scope : scopes) {
    if (scope == nullptr || scope->unusable() == nullptr) continue;
    return Verdict(false, Reason::kPolicyUnusable, scope->unusable()->key);
  }
  for (const std::string& key : policies.listed) {
    const Policy* policy = policies.catalog->find(key);
    if (policy == nullptr || (!policy->usable() && !policy->dry_run)) {
      return Verdict(false, Reason::kPolicyUnusable, key);
    }
  }

  for (const PolicyIndex* scope : scopes) {
    if (scope == nullptr) continue;
    if (const Policy* denial = scope->first_deny(connection); denial != nullptr) {
      return Verdict(false, Reason::kDenied, denial->key);
    }
  }
  bool has_allow = false;
  const Policy* grant = nullptr;
  for (const std::string& key : policies.listed) {
    const Policy* policy = policies.catalog->find(key);
    if (policy->dry_run) continue;
    if (policy->action == Action::kDeny) {
      if (policy->applies_to(connection)) return Verdict(false, Reason::kDenied, policy->key);
      continue;
    }
    has_allow = true;
    if (grant == nullptr && policy->applies_to(connection)) grant = policy;
  }

  for (const PolicyIndex* scope : scopes) {
    if (scope == nullptr || !scope->has_allow()) continue;
    has_allow = true;
    if (grant == nullptr) grant = scope->first_allow(connection);
  }
  if (grant != nullptr) return Verdict(true, Reason::kDenied, grant->key);
  return has_allow ? Verdict(false, Reason::kDenied, kNotAllowed)
                   : Verdict(true, Reason::kDenied, kNoPolicies);
}

std::optional<std::string_view> dry_run_denial(const Selection& policies,
                                               const Connection& connection) {
  bool has_allow = false;
  bool granted = false;
  std::optional<std::string_view> denial;
  const auto ask = [&](const Policy& policy) {
    if (!policy.dry_run || denial) return;
    if (policy.action == Action::kAllow) {
      has_allow = true;
      granted = granted || policy.applies_to(connection);
    } else if (policy.applies_to(connection)) {
      denial = policy.key;
    }
  };
  for (const PolicyIndex* scope : {policies.global, policies.of_namespace}) {
    if (scope == nullptr || !scope->has_dry_run()) continue;
    for (const PolicyPtr& policy : scope->policies()) ask(*policy);
  }
  for (const std::string& key : policies.listed) {
    if (const Policy* policy = policies.catalog->find(key); policy != nullptr) ask(*policy);
  }
  if (denial) return denial;
  return has_allow && !granted ? std::optional(kNotAllowed) : std::nullopt;
}

}  // namespace mesh::policy
