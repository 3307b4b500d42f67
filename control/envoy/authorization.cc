#include "control/envoy/authorization.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "control/trust_domains.h"
#include "envoy/rbac.pb.h"

namespace mesh::control {
namespace {

using envoy::config::rbac::v3::Policy;
using envoy::config::rbac::v3::RBAC;
using manifest::AuthorizationAction;
using manifest::AuthorizationPolicy;

bool is_core(const std::string& group) { return group.empty() || group == "core"; }

void add_rules(const AuthorizationPolicy& policy, RbacSight sight, RBAC& into) {
  auto& policies = *into.mutable_policies();
  if (policy.rules.empty()) {
    fill_never(&policies[rule_name(policy, 0)]);
    return;
  }
  const bool allows = policy.action == AuthorizationAction::kAllow;
  for (std::size_t i = 0; i < policy.rules.size(); ++i) {
    Policy to;
    if (fill_rule(policy.rules[i], policy.metadata.ns, sight, allows, &to)) {
      policies[rule_name(policy, i)] = std::move(to);
    }
  }
}

RBAC::Action action_of(AuthorizationAction action) {
  if (action == AuthorizationAction::kAllow) return RBAC::ALLOW;
  return action == AuthorizationAction::kAudit ? RBAC::LOG : RBAC::DENY;
}

struct Halves {
  std::shared_ptr<RBAC> rules, shadow;
};

}  // namespace

std::string rule_name(const AuthorizationPolicy& policy, std::size_t index) {
  return "ns[" + policy.metadata.ns + "]-policy[" + policy.metadata.name + "]-rule[" +
         std::to_string(index) + "]";
}

void add_denied(const AuthorizationPolicy& policy, RbacSight sight, RBAC& into) {
  into.set_action(RBAC::DENY);
  for (std::size_t i = 0; i < policy.rules.size(); ++i) {
    Policy to;
    fill_rule(policy.rules[i], policy.metadata.ns, sight, false, &to);
    const std::string name = "istio-ext-authz-" + policy.provider + "-" + rule_name(policy, i) +
                             "-deny-due-to-bad-CUSTOM-action";
    (*into.mutable_policies())[name] = std::move(to);
  }
}

bool targets_chain(const std::vector<manifest::TargetRef>& targets, const std::string& ns,
                   const Settings& settings, const manifest::Gateway& gateway,
                   const CatalogService* service) {
  return std::any_of(targets.begin(), targets.end(), [&](const manifest::TargetRef& target) {
    if (target.kind == "Gateway") {
      return ns == gateway.metadata.ns && target.name == gateway.metadata.name;
    }
    if (target.kind == "GatewayClass") {
      return ns == settings.root_namespace && target.name == gateway.class_name;
    }
    if (service == nullptr || service->ns != ns || service->name != target.name) return false;
    if (is_core(target.group) && target.kind == "Service") return !service->is_entry;
    return target.kind == "ServiceEntry" && service->is_entry;
  });
}

std::vector<RbacFilter> authorization_filters(const World& world, const Settings& settings,
                                              const manifest::Gateway& gateway,
                                              const CatalogService* service, RbacSight sight) {
  RBAC custom;
  std::map<int, Halves> by_action;
  constexpr AuthorizationAction kOrder[] = {AuthorizationAction::kAudit, AuthorizationAction::kDeny,
                                            AuthorizationAction::kAllow};
  for (const AuthorizationPolicy* written : world.all<AuthorizationPolicy>()) {
    if (!targets_chain(written->targets, written->metadata.ns, settings, gateway, service)) {
      continue;
    }
    const AuthorizationPolicy policy = under_all_names(*written, settings);
    const bool dry = policy.metadata.annotation("istio.io/dry-run") == "true";
    if (policy.action == AuthorizationAction::kCustom) {
      if (dry || sight == RbacSight::kHttp) continue;  // asked about instead: authorizers.h
      add_denied(policy, sight, custom);
      continue;
    }
    Halves& halves = by_action[static_cast<int>(policy.action)];
    auto& half = dry ? halves.shadow : halves.rules;
    if (half == nullptr) {
      half = std::make_shared<RBAC>();
      half->set_action(action_of(policy.action));
    }
    add_rules(policy, sight, *half);
  }
  std::vector<RbacFilter> filters;
  if (custom.policies_size() > 0) {
    filters.push_back({std::make_shared<RBAC>(std::move(custom)), nullptr, ""});
  }
  for (const AuthorizationAction action : kOrder) {
    const auto found = by_action.find(static_cast<int>(action));
    if (found == by_action.end()) continue;
    const bool denies = found->second.rules == nullptr && action == AuthorizationAction::kDeny;
    filters.push_back({found->second.rules, found->second.shadow,
                       denies ? "istio_dry_run_deny_" : "istio_dry_run_allow_"});
  }
  return filters;
}

}  // namespace mesh::control
