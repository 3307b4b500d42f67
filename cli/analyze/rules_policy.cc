#include <algorithm>
#include <map>

#include "cli/analyze/finding.h"
#include "cli/analyze/policy.h"

namespace mesh::cli {
namespace {

using manifest::AuthorizationPolicy;
using manifest::Labels;
using manifest::Metadata;
using manifest::PeerAuthentication;
using manifest::Pod;
using manifest::TargetRef;

std::string full_name(const char* kind, const Metadata& metadata) {
  return std::string(kind) + " " + metadata.ns + "/" + metadata.name;
}

Finding without_effect(const std::string& object, const Place& place) {
  return {.weight = Weight::kError,
          .code = "WEFT001",
          .object = object,
          .place = place,
          .message = {},
          .fix = {}};
}

void check_selector(const Inventory& all, const Metadata& metadata,
                    const std::optional<Labels>& selector, const std::string& name,
                    const Place& place, Findings& found) {
  if (!selector || selector->empty() || !all.knows_pods()) return;
  const bool everywhere = all.is_root(metadata.ns);
  const bool matches = std::ranges::any_of(all.all<Pod>(), [&](const auto& pod) {
    return (everywhere || pod->metadata.ns == metadata.ns) &&
           selects(*selector, pod->metadata.labels);
  });
  if (matches) return;
  found.push_back({.weight = Weight::kWarning,
                   .code = "WEFT007",
                   .object = name,
                   .place = place,
                   .message = "its selector matches no pod" +
                              (everywhere ? "" : " of namespace " + metadata.ns),
                   .fix = "compare selector.matchLabels with the pods' labels"});
}

// "" or why a target has no waypoint that could enforce a policy there, and what to do.
std::pair<std::string, std::string> target_fault(const Inventory& all, const Metadata& policy,
                                                 const TargetRef& target) {
  const std::string name = target.kind + " " + target.name;
  if (target.kind == "GatewayClass") {
    if (all.is_root(policy.ns)) return {};
    return {name + " is for policies of the root namespace only", "put it into " + all.root()};
  }
  if (target.kind == "Gateway") {
    const auto* gateway = all.find<manifest::Gateway>(policy.ns, target.name);
    if (gateway == nullptr) {
      return {"there is no " + name + " in namespace " + policy.ns,
              "weft waypoint apply -n " + policy.ns + " --name " + target.name};
    }
    if (is_waypoint(*gateway)) return {};
    return {name + " is no waypoint", "attach it to a Service, or to a waypoint's Gateway"};
  }
  const Metadata* object = nullptr;
  if (target.kind == "Service") {
    const auto* service = all.find<manifest::Service>(policy.ns, target.name);
    object = service == nullptr ? nullptr : &service->metadata;
  } else if (target.kind == "ServiceEntry") {
    const auto* entry = all.find<manifest::ServiceEntry>(policy.ns, target.name);
    object = entry == nullptr ? nullptr : &entry->metadata;
  } else {
    return {"a policy cannot be attached to a " + target.kind,
            "attach it to a Service, a ServiceEntry or a waypoint's Gateway"};
  }
  if (object == nullptr) {
    return {"there is no " + name + " in namespace " + policy.ns, "correct the name in targetRefs"};
  }
  if (waypoint_choice(all, *object)) return {};
  return {name + " uses no waypoint, and only a waypoint enforces what is attached to it",
          "label it istio.io/use-waypoint=NAME (weft waypoint apply --enroll-namespace)"};
}

void check_targets(const Inventory& all, const Metadata& metadata,
                   const std::vector<TargetRef>& targets, const std::string& name,
                   const Place& place, Findings& found) {
  for (const TargetRef& target : targets) {
    auto [why, fix] = target_fault(all, metadata, target);
    if (why.empty()) continue;
    Finding finding = without_effect(name, place);
    finding.message = std::move(why);
    finding.fix = std::move(fix);
    found.push_back(std::move(finding));
  }
}

// Where Istio has its mesh-wide policies, they are for one namespace if the mesh has another root.
void check_root(const Inventory& all, const Metadata& metadata,
                const std::vector<TargetRef>& targets, const std::string& name, const Place& place,
                Findings& found) {
  constexpr std::string_view kIstioRoot = "istio-system";
  if (metadata.ns != kIstioRoot || all.is_root(kIstioRoot) || !targets.empty()) return;
  found.push_back(
      {.weight = Weight::kError,
       .code = "WEFT015",
       .object = name,
       .place = place,
       .message =
           "it is for pods of istio-system only: what is for the whole mesh is in " + all.root(),
       .fix = "put it into " + all.root() +
              ", or install with --set mesh.rootNamespace=istio-system"});
}

void check_authorization(const Inventory& all, const AuthorizationPolicy& policy,
                         const Place& place, Findings& found) {
  const std::string name = full_name("AuthorizationPolicy", policy.metadata);
  check_selector(all, policy.metadata, policy.selector, name, place, found);
  check_targets(all, policy.metadata, policy.targets, name, place, found);
  check_root(all, policy.metadata, policy.targets, name, place, found);
  if (!policy.targets.empty()) return;
  if (policy.action == manifest::AuthorizationAction::kAudit ||
      policy.action == manifest::AuthorizationAction::kCustom) {
    Finding finding = without_effect(name, place);
    finding.message = "ztunnel knows neither CUSTOM nor AUDIT";
    finding.fix = "attach it to a waypoint by targetRefs";
    found.push_back(std::move(finding));
    return;
  }
  const std::string field = first_request_field(policy);
  if (field.empty()) return;
  Finding finding = without_effect(name, place);
  finding.message = "ztunnel cannot see " + field + ": " +
                    (policy.action == manifest::AuthorizationAction::kAllow
                         ? "rules that ask for it allow nothing"
                         : "rules that ask for it deny whatever else they match");
  finding.fix = "attach it to a Service that uses a waypoint, by targetRefs";
  found.push_back(std::move(finding));
}

void check_requests(const Inventory& all, Findings& found) {
  for (const auto& policy : all.all<manifest::RequestAuthentication>()) {
    const std::string name = full_name("RequestAuthentication", policy->metadata);
    check_targets(all, policy->metadata, policy->targets, name, *policy.place, found);
    if (!policy->targets.empty()) continue;
    Finding finding = without_effect(name, *policy.place);
    finding.message = "without targetRefs nobody verifies tokens: ztunnel sees no requests";
    finding.fix = "attach it to a Service that uses a waypoint, by targetRefs";
    found.push_back(std::move(finding));
  }
}

void check_peers(const Inventory& all, Findings& found) {
  const auto policies = all.all<PeerAuthentication>();
  for (const auto& policy : policies) {
    const std::string name = full_name("PeerAuthentication", policy->metadata);
    const bool selective = policy->selector && !policy->selector->empty();
    check_selector(all, policy->metadata, policy->selector, name, *policy.place, found);
    check_root(all, policy->metadata, {}, name, *policy.place, found);
    if (!policy->ports.empty() && !selective) {
      Finding finding = without_effect(name, *policy.place);
      finding.message = "portLevelMtls needs a selector";
      finding.fix = "add selector.matchLabels";
      found.push_back(std::move(finding));
    }
    for (const auto& other : policies) {
      if (other.object == policy.object) break;  // each pair once: the one that comes later tells
      const bool other_selective = other->selector && !other->selector->empty();
      const bool same_scope = other->metadata.ns == policy->metadata.ns &&
                              selective == other_selective &&
                              (!selective || *policy->selector == *other->selector);
      if (!same_scope || (policy->mode == other->mode && policy->ports == other->ports)) continue;
      found.push_back({.weight = Weight::kError,
                       .code = "WEFT008",
                       .object = name,
                       .place = *policy.place,
                       .message = "PeerAuthentication " + other->metadata.name +
                                  " says otherwise for the same pods; the older of the two counts",
                       .fix = "keep one of them"});
    }
  }
}

}  // namespace

void find_policy_faults(const Inventory& all, Findings& found) {
  for (const auto& policy : all.all<AuthorizationPolicy>()) {
    check_authorization(all, *policy.object, *policy.place, found);
  }
  check_requests(all, found);
  check_peers(all, found);
}

}  // namespace mesh::cli
