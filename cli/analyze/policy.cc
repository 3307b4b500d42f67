#include "cli/analyze/policy.h"

#include <algorithm>

namespace mesh::cli {
namespace {

using manifest::AuthorizationPolicy;
using manifest::Metadata;
using manifest::PeerAuthentication;
using manifest::Pod;

void append(std::string& line, const char* what, const std::vector<std::string>& values) {
  if (values.empty()) return;
  line += std::string(" ") + what + " ";
  for (std::size_t i = 0; i < values.size(); ++i) line += (i == 0 ? "" : ",") + values[i];
}

template <class T>
std::vector<std::string> texts(const std::vector<T>& values) {
  std::vector<std::string> list;
  for (const T& one : values) list.push_back(one.to_string());
  return list;
}

std::vector<std::string> numbers(const std::vector<std::uint16_t>& values) {
  std::vector<std::string> list;
  for (const std::uint16_t one : values) list.push_back(std::to_string(one));
  return list;
}

std::string source_line(const manifest::Source& from) {
  std::string line;
  append(line, "principals", from.principals);
  append(line, "notPrincipals", from.not_principals);
  append(line, "requestPrincipals", from.request_principals);
  append(line, "notRequestPrincipals", from.not_request_principals);
  append(line, "namespaces", from.namespaces);
  append(line, "notNamespaces", from.not_namespaces);
  append(line, "ipBlocks", texts(from.ip_blocks));
  append(line, "notIpBlocks", texts(from.not_ip_blocks));
  append(line, "remoteIpBlocks", texts(from.remote_ip_blocks));
  append(line, "notRemoteIpBlocks", texts(from.not_remote_ip_blocks));
  append(line, "serviceAccounts", from.service_accounts);
  append(line, "notServiceAccounts", from.not_service_accounts);
  return line;
}

std::string operation_line(const manifest::Operation& to) {
  std::string line;
  append(line, "hosts", to.hosts);
  append(line, "notHosts", to.not_hosts);
  append(line, "ports", numbers(to.ports));
  append(line, "notPorts", numbers(to.not_ports));
  append(line, "methods", to.methods);
  append(line, "notMethods", to.not_methods);
  append(line, "paths", to.paths);
  append(line, "notPaths", to.not_paths);
  return line;
}

bool is_transport_key(std::string_view key) {
  return key == "source.ip" || key == "source.namespace" || key == "source.principal" ||
         key == "destination.ip" || key == "destination.port" || key == "source.serviceAccount";
}

bool selected(const Inventory& all, const std::optional<manifest::Labels>& selector,
              const Metadata& policy, const Metadata& pod) {
  if (policy.ns != pod.ns && !all.is_root(policy.ns)) return false;
  return !selector || selects(*selector, pod.labels);
}

std::string waypoint_name(const Inventory& all, const Metadata& object) {
  const auto choice = waypoint_choice(all, object);
  return choice ? "waypoint " + choice->ns + "/" + choice->name : "";
}

// The waypoint that enforces a policy with a target for traffic to a pod; "" when none does.
std::string enforcing_waypoint(const Inventory& all, const Metadata& policy,
                               const manifest::TargetRef& target, const Pod& pod) {
  if (target.kind == "Service") {
    const auto* service = all.find<manifest::Service>(policy.ns, target.name);
    const bool serves = service != nullptr && policy.ns == pod.metadata.ns &&
                        !service->selector.empty() &&
                        selects(service->selector, pod.metadata.labels);
    return serves ? waypoint_name(all, service->metadata) : "";
  }
  const std::string wanted = "waypoint " + policy.ns + "/" + target.name;
  if (waypoint_name(all, pod.metadata) == wanted) return wanted;
  for (const auto& service : all.all<manifest::Service>()) {
    if (service->metadata.ns != pod.metadata.ns || service->selector.empty()) continue;
    if (!selects(service->selector, pod.metadata.labels)) continue;
    const std::string used = waypoint_name(all, service->metadata);
    const bool by_class = target.kind == "GatewayClass" && all.is_root(policy.ns);
    if (!used.empty() && (by_class || (target.kind == "Gateway" && used == wanted))) return used;
  }
  return "";
}

}  // namespace

std::string first_request_field(const AuthorizationPolicy& policy) {
  for (const manifest::AuthorizationRule& rule : policy.rules) {
    for (const manifest::Source& from : rule.from) {
      if (!from.request_principals.empty() || !from.not_request_principals.empty()) {
        return "requestPrincipals";
      }
      if (!from.remote_ip_blocks.empty() || !from.not_remote_ip_blocks.empty()) {
        return "remoteIpBlocks";
      }
    }
    for (const manifest::Operation& to : rule.to) {
      if (!to.hosts.empty() || !to.not_hosts.empty()) return "hosts";
      if (!to.methods.empty() || !to.not_methods.empty()) return "methods";
      if (!to.paths.empty() || !to.not_paths.empty()) return "paths";
    }
    for (const manifest::Condition& when : rule.when) {
      if (!is_transport_key(when.key)) return "when " + when.key;
    }
  }
  return "";
}

std::string action_name(manifest::AuthorizationAction action) {
  switch (action) {
    case manifest::AuthorizationAction::kDeny:
      return "DENY";
    case manifest::AuthorizationAction::kAllow:
      return "ALLOW";
    case manifest::AuthorizationAction::kAudit:
      return "AUDIT";
    case manifest::AuthorizationAction::kCustom:
      return "CUSTOM";
  }
  return "";
}

std::vector<std::string> rule_lines(const AuthorizationPolicy& policy) {
  std::vector<std::string> lines;
  for (const manifest::AuthorizationRule& rule : policy.rules) {
    std::string line;
    for (const manifest::Source& from : rule.from) {
      line += (line.empty() ? "from" : " or from") + source_line(from);
    }
    for (std::size_t i = 0; i < rule.to.size(); ++i) {
      line += (line.empty() ? "to" : i == 0 ? "; to" : " or to") + operation_line(rule.to[i]);
    }
    for (const manifest::Condition& when : rule.when) {
      line += line.empty() ? "when " : "; when ";
      line += when.key;
      append(line, "in", when.values);
      append(line, "not in", when.not_values);
    }
    lines.push_back(line.empty() ? "everything" : line);
  }
  return lines;
}

std::vector<AppliedPolicy> policies_for(const Inventory& all, const Pod& pod) {
  std::vector<AppliedPolicy> applied;
  for (const auto& policy : all.all<AuthorizationPolicy>()) {
    if (policy->targets.empty()) {
      if (selected(all, policy->selector, policy->metadata, pod.metadata)) {
        applied.push_back({policy.object, "ztunnel", policy.place->refused});
      }
      continue;
    }
    for (const manifest::TargetRef& target : policy->targets) {
      const std::string by = enforcing_waypoint(all, policy->metadata, target, pod);
      if (by.empty()) continue;
      applied.push_back({policy.object, by, policy.place->refused});
      break;
    }
  }
  return applied;
}

std::string mtls_of(const Inventory& all, const Pod& pod) {
  // The narrowest scope that says something; of several, the oldest.
  const PeerAuthentication* best = nullptr;
  std::string refused;  // what holds of it then
  const auto scope = [&](const PeerAuthentication& policy) {
    if (policy.selector && !policy.selector->empty()) return 2;
    return all.is_root(policy.metadata.ns) ? 0 : 1;
  };
  for (const auto& policy : all.all<PeerAuthentication>()) {
    if (policy->mode == manifest::MtlsMode::kUnset) continue;
    if (!selected(all, policy->selector, policy->metadata, pod.metadata)) continue;
    const bool narrower = best == nullptr || scope(*policy.object) > scope(*best);
    const bool older = best != nullptr && scope(*policy.object) == scope(*best) &&
                       policy->metadata.created < best->metadata.created;
    if (!narrower && !older) continue;
    best = policy.object;
    refused = policy.place->refused;
  }
  if (best == nullptr) return "PERMISSIVE (the default)";
  const char* mode = best->mode == manifest::MtlsMode::kStrict    ? "STRICT"
                     : best->mode == manifest::MtlsMode::kDisable ? "DISABLE"
                                                                  : "PERMISSIVE";
  const std::string name = best->metadata.ns + "/" + best->metadata.name;
  if (!refused.empty()) return "as " + name + " says, which is refused: " + refused;
  return std::string(mode) + " (" + name + ")";
}

}  // namespace mesh::cli
