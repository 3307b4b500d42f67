#include "control/envoy/destination_rules.h"

#include <algorithm>
#include <tuple>

namespace mesh::control {
namespace {

using manifest::DestinationRule;
using manifest::TrafficPolicy;

void override_with(const TrafficPolicy& stronger, TrafficPolicy& into) {
  if (stronger.load_balancer) into.load_balancer = stronger.load_balancer;
  if (stronger.pool) into.pool = stronger.pool;
  if (stronger.outlier) into.outlier = stronger.outlier;
  if (stronger.tls) into.tls = stronger.tls;
  if (stronger.retry_budget) into.retry_budget = stronger.retry_budget;
}

TrafficPolicy for_port(const TrafficPolicy& policy, std::uint16_t port) {
  const auto own = policy.ports.find(port);
  return own == policy.ports.end() ? policy : own->second;
}

}  // namespace

std::string full_host(std::string_view host, std::string_view ns, const Settings& settings) {
  if (host.find('.') != std::string_view::npos || host == "*") return std::string(host);
  return std::string(host) + "." + std::string(ns) + ".svc." + settings.cluster_domain;
}

bool host_covers(std::string_view pattern, std::string_view host) {
  if (pattern == "*" || pattern == host) return true;
  return pattern.starts_with("*.") && host.size() >= pattern.size() &&
         host.ends_with(pattern.substr(1));
}

bool is_exported(const std::vector<std::string>& export_to, const std::string& ns,
                 const std::string& viewer) {
  if (export_to.empty()) return true;
  return std::any_of(export_to.begin(), export_to.end(), [&](const std::string& to) {
    return to == "*" || to == viewer || (to == "." && ns == viewer);
  });
}

DestinationRules::DestinationRules(const World& world, const Settings& settings,
                                   const manifest::Gateway& gateway)
    : gateway_ns_(gateway.metadata.ns), root_ns_(settings.root_namespace) {
  const manifest::Labels own = {
      {"gateway.networking.k8s.io/gateway-name", gateway.metadata.name},
      {"gateway.networking.k8s.io/gateway-class-name", gateway.class_name}};
  for (const DestinationRule* rule : world.all<DestinationRule>()) {
    if (!is_exported(rule->export_to, rule->metadata.ns, gateway_ns_)) continue;
    // One for certain clients only is for us when it selects us.
    if (rule->workload_selector && !selects(*rule->workload_selector, own)) continue;
    by_namespace_[rule->metadata.ns].push_back(
        {full_host(rule->host, rule->metadata.ns, settings), rule});
  }
  for (auto& [ns, rules] : by_namespace_) {
    std::sort(rules.begin(), rules.end(), [](const Known& a, const Known& b) {
      const auto order = [](const Known& known) {
        const manifest::Metadata& metadata = known.rule->metadata;
        return std::tuple(known.host.starts_with('*'), -static_cast<long>(known.host.size()),
                          metadata.created.empty(), metadata.created, metadata.name);
      };
      return order(a) < order(b);
    });
  }
}

const DestinationRule* DestinationRules::of(const CatalogService& service) const {
  for (const std::string& ns : {gateway_ns_, service.ns, root_ns_}) {
    const auto rules = by_namespace_.find(ns);
    if (rules == by_namespace_.end()) continue;
    for (const Known& known : rules->second) {
      if (host_covers(known.host, service.host)) return known.rule;
    }
  }
  return nullptr;
}

const manifest::Subset* find_subset(const DestinationRule* rule, std::string_view name) {
  if (rule == nullptr || name.empty()) return nullptr;
  for (const manifest::Subset& subset : rule->subsets) {
    if (subset.name == name) return &subset;
  }
  return nullptr;
}

TrafficPolicy traffic_policy(const DestinationRule* rule, const manifest::Subset* subset,
                             std::uint16_t port) {
  if (rule == nullptr) return {};
  TrafficPolicy policy = for_port(rule->policy, port);
  if (subset != nullptr) override_with(for_port(subset->policy, port), policy);
  policy.ports.clear();
  return policy;
}

}  // namespace mesh::control
