#include "control/envoy/endpoints.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "control/envoy/destination_rules.h"
#include "control/envoy/health_checks.h"
#include "envoy/endpoint.pb.h"

namespace mesh::control {
namespace {

namespace core = envoy::config::core::v3;
namespace endpoint = envoy::config::endpoint::v3;
using manifest::LocalityBalancing;

constexpr std::uint16_t kHbonePort = 15008;
constexpr std::size_t kNamedMost = 3;

std::string with_port(const std::string& address, std::uint16_t port) {
  const bool v6 = address.find(':') != std::string::npos;
  return (v6 ? "[" + address + "]" : address) + ":" + std::to_string(port);
}

// "r1", "r1/z1", "r1/z1/*"
bool place_covers(std::string_view pattern, const Locality& place) {
  const std::string* const parts[] = {&place.region, &place.zone, &place.subzone};
  for (const std::string* part : parts) {
    const auto slash = pattern.find('/');
    const std::string_view wanted = pattern.substr(0, slash);
    if (wanted == "*") return true;
    if (wanted != *part) return false;
    if (slash == std::string_view::npos) return true;
    pattern.remove_prefix(slash + 1);
  }
  return pattern.empty();
}

// The nearer, the smaller.
unsigned distance(const Locality& from, const Locality& to, const LocalityBalancing* balancing) {
  if (from.region == to.region) {
    if (from.zone != to.zone) return 2;
    return from.subzone == to.subzone ? 0 : 1;
  }
  if (balancing == nullptr) return 3;
  for (const manifest::LocalityFailover& failover : balancing->failover) {
    if (failover.from == from.region) return failover.to == to.region ? 3 : 4;
  }
  return 3;
}

const LocalityBalancing* balancing_of(const manifest::TrafficPolicy& policy) {
  const bool has = policy.load_balancer && policy.load_balancer->locality;
  return has ? &*policy.load_balancer->locality : nullptr;
}

struct Group {
  std::vector<endpoint::LbEndpoint> endpoints;
  std::uint32_t weight = 0;
};
// By rank, the nearest first, and place.
using Groups = std::map<std::pair<std::size_t, Locality>, Group>;

// How far an endpoint is from the proxy, in priorities.
class Ranks {
 public:
  Ranks(const WaypointClient& client, const ClusterUse& use)
      : client_(client),
        policy_(traffic_policy(use.rule, use.subset, use.port.number)),
        balancing_(balancing_of(policy_)),
        apply_(weighs_localities(policy_, *use.service) &&
               (balancing_ == nullptr || balancing_->distribute.empty())) {}

  std::size_t of(const CatalogWorkload& workload) const {
    if (!apply_) return 0;
    if (balancing_ == nullptr || balancing_->priority.empty()) {
      return distance(client_.locality, workload.locality, balancing_);
    }
    // As many ranks as labels: the first that differs says which.
    std::size_t same = 0;
    for (const std::string& label : balancing_->priority) {
      const auto equals = label.find('=');
      const std::string key = label.substr(0, equals);
      const std::string wanted = equals == std::string::npos
                                     ? value_of(key, client_.locality, &client_.labels)
                                     : label.substr(equals + 1);
      if (value_of(key, workload.locality, workload.labels) != wanted) break;
      ++same;
    }
    return balancing_->priority.size() - same;
  }

  const manifest::LocalityBalancing* balancing() const { return balancing_; }
  bool weighs(const CatalogService& service) const { return weighs_localities(policy_, service); }

 private:
  static std::string value_of(const std::string& key, const Locality& place,
                              const manifest::Labels* labels) {
    if (key == "topology.kubernetes.io/region") return place.region;
    if (key == "topology.kubernetes.io/zone") return place.zone;
    if (key == "topology.istio.io/subzone") return place.subzone;
    if (labels == nullptr) return {};
    const auto found = labels->find(key);
    return found == labels->end() ? std::string() : found->second;
  }

  const WaypointClient& client_;
  const manifest::TrafficPolicy policy_;
  const manifest::LocalityBalancing* balancing_;
  bool apply_;
};

void fill_address(const CatalogWorkload& workload, std::uint16_t port, endpoint::LbEndpoint& to) {
  const std::string& address = workload.addresses.front();
  auto* into = to.mutable_endpoint()->mutable_address();
  if (workload.hbone) {
    const std::string target = with_port(address, port);
    into->mutable_envoy_internal_address()->set_server_listener_name(
        std::string(kConnectOriginate));
    into->mutable_envoy_internal_address()->set_endpoint_id(target);
    add_metadata(to.mutable_metadata(), kOriginalDst, "local", target);
  } else {
    into->mutable_socket_address()->set_address(address);
    into->mutable_socket_address()->set_port_value(port);
  }
}

void add_endpoint(const Ranks& ranks, const CatalogWorkload& workload, endpoint::LbEndpoint to,
                  bool healthy, Groups& groups) {
  to.set_health_status(healthy ? core::HEALTHY : core::UNHEALTHY);
  to.mutable_load_balancing_weight()->set_value(workload.weight);
  add_metadata(to.mutable_metadata(), "istio", "workload", workload.description);
  Group& group = groups[{ranks.of(workload), workload.locality}];
  group.weight += workload.weight;
  group.endpoints.push_back(std::move(to));
}

bool in_subset(const CatalogWorkload& workload, const manifest::Subset* subset) {
  if (subset == nullptr) return true;
  return workload.labels != nullptr && selects(subset->labels, *workload.labels);
}

// The port of a workload that can be called; 0: it cannot.
std::uint16_t target_of(const Backing& backing, const ClusterUse& use) {
  const auto target = backing.targets.find(use.port.number);
  const bool is_there = target != backing.targets.end() && !backing.workload->addresses.empty();
  return is_there && in_subset(*backing.workload, use.subset) ? target->second : 0;
}

void add_backing(const WaypointClient& client, const Ranks& ranks, const ClusterUse& use,
                 Groups& groups) {
  const bool tunnels_only = needs_tunnel(use);
  const EndpointChecks checks(client, use);
  for (const Backing& backing : use.service->backing) {
    const CatalogWorkload& workload = *backing.workload;
    const std::uint16_t port = target_of(backing, use);
    if (port == 0 || (tunnels_only && !workload.hbone)) continue;
    endpoint::LbEndpoint to;
    fill_address(workload, port, to);
    checks.fill(workload.hbone, to.mutable_endpoint());
    add_endpoint(ranks, workload, std::move(to), workload.healthy || use.service->allows_unhealthy,
                 groups);
  }
}

// Every proxy of the waypoint that stands before the service; none: nobody can be called.
void add_waypoint(const Catalog& catalog, const Ranks& ranks, const ClusterUse& use,
                  Groups& groups) {
  const CatalogService* waypoint = catalog.find_host(use.service->ns, use.service->waypoint);
  if (waypoint == nullptr || use.service->addresses.empty()) return;
  const std::string target =
      with_port(use.service->addresses.front().base().to_string(), use.port.number);
  for (const Backing& backing : waypoint->backing) {
    const CatalogWorkload& proxy = *backing.workload;
    if (proxy.addresses.empty() || !backing.targets.contains(kHbonePort)) continue;
    const std::string at = with_port(proxy.addresses.front(), kHbonePort);
    endpoint::LbEndpoint to;
    auto* address = to.mutable_endpoint()->mutable_address()->mutable_envoy_internal_address();
    address->set_server_listener_name(std::string(kConnectOriginate));
    address->set_endpoint_id(target + "@" + at);
    add_metadata(to.mutable_metadata(), kOriginalDst, "local", target);
    add_metadata(to.mutable_metadata(), kOriginalDst, "waypoint", at);
    add_endpoint(ranks, proxy, std::move(to), proxy.healthy, groups);
  }
}

// What of the traffic from here goes there, in percent; none: the rule says nothing of us.
std::optional<std::uint32_t> share(const LocalityBalancing& balancing, const Locality& from,
                                   const Locality& to, bool& applies) {
  for (const manifest::LocalityDistribute& rule : balancing.distribute) {
    if (!place_covers(rule.from, from)) continue;
    applies = true;
    for (const auto& [pattern, percent] : rule.to) {
      if (place_covers(pattern, to)) return percent;
    }
    return {};
  }
  return {};
}

void fill_places(const WaypointClient& client, const Ranks& ranks, const ClusterUse& use,
                 Groups groups, endpoint::ClusterLoadAssignment& to) {
  const LocalityBalancing* balancing = ranks.balancing();
  const bool distributes =
      ranks.weighs(*use.service) && balancing != nullptr && !balancing->distribute.empty();
  std::map<std::size_t, std::uint32_t> priorities;  // by rank, without gaps
  for (const auto& [key, group] : groups) priorities.emplace(key.first, 0);
  std::uint32_t next = 0;
  for (auto& [rank, priority] : priorities) priority = next++;
  for (auto& [key, group] : groups) {
    const auto& [rank, place] = key;
    std::uint32_t weight = group.weight;
    if (distributes) {
      bool applies = false;
      const auto percent = share(*balancing, client.locality, place, applies);
      if (applies && percent.value_or(0) == 0) continue;
      if (percent) weight = *percent;
    }
    endpoint::LocalityLbEndpoints* into = to.add_endpoints();
    if (!place.empty()) {
      into->mutable_locality()->set_region(place.region);
      into->mutable_locality()->set_zone(place.zone);
      into->mutable_locality()->set_sub_zone(place.subzone);
    }
    into->mutable_load_balancing_weight()->set_value(weight);
    into->set_priority(priorities[rank]);
    for (endpoint::LbEndpoint& one : group.endpoints) *into->add_lb_endpoints() = std::move(one);
  }
}

}  // namespace

bool weighs_localities(const manifest::TrafficPolicy& policy, const CatalogService& service) {
  const LocalityBalancing* balancing = balancing_of(policy);
  if (balancing != nullptr && !balancing->enabled) return false;
  if (service.prefers_close) return true;
  // Without health there is nothing to fail over on, but shares of traffic need none.
  return policy.outlier || (balancing != nullptr && !balancing->distribute.empty());
}

endpoint::ClusterLoadAssignment service_endpoints(const Catalog& catalog,
                                                  const WaypointClient& client,
                                                  const ClusterUse& use) {
  endpoint::ClusterLoadAssignment to;
  to.set_cluster_name(use.name);
  const Ranks ranks(client, use);
  Groups groups;
  if (calls_waypoint(use)) {
    add_waypoint(catalog, ranks, use, groups);
  } else {
    add_backing(client, ranks, use, groups);
  }
  fill_places(client, ranks, use, std::move(groups), to);
  return to;
}

std::string left_out(const ClusterUse& use) {
  if (calls_waypoint(use) || !needs_tunnel(use)) return {};
  std::string names;
  std::size_t count = 0;
  for (const Backing& backing : use.service->backing) {
    const CatalogWorkload& workload = *backing.workload;
    if (workload.hbone || target_of(backing, use) == 0) continue;
    if (++count > kNamedMost) continue;
    names += (names.empty() ? "" : ", ") + workload.ns + "/" + workload.name;
  }
  if (count == 0) return {};
  if (count > kNamedMost) names += " and " + std::to_string(count - kNamedMost) + " more";
  return "tls.mode ISTIO_MUTUAL: no tunnel leads to " + names + " behind " + use.service->host +
         ", who are not called in plaintext";
}

endpoint::ClusterLoadAssignment named_endpoints(const WaypointClient& client,
                                                const ClusterUse& use) {
  endpoint::ClusterLoadAssignment to;
  to.set_cluster_name(use.name);
  const Ranks ranks(client, use);
  const EndpointChecks checks(client, use);
  Groups groups;
  for (const Backing& backing : use.service->backing) {
    const CatalogWorkload& workload = *backing.workload;
    const auto target = backing.targets.find(use.port.number);
    if (target == backing.targets.end() || !in_subset(workload, use.subset)) continue;
    endpoint::LbEndpoint one;
    auto* address = one.mutable_endpoint()->mutable_address()->mutable_socket_address();
    address->set_address(workload.addresses.empty() ? workload.hostname
                                                    : workload.addresses.front());
    address->set_port_value(target->second);
    checks.fill(false, one.mutable_endpoint());
    add_endpoint(ranks, workload, std::move(one), true, groups);
  }
  fill_places(client, ranks, use, std::move(groups), to);
  return to;
}

}  // namespace mesh::control
