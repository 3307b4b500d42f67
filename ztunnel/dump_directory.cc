#include "ztunnel/dump_directory.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

namespace mesh::ztunnel {
namespace {

using workload::GatewayAddress;
using workload::Service;
using workload::Workload;

std::string address_text(const std::string& network, const std::string& ip) {
  return network + "/" + ip;
}

void write_gateway(JsonWriter& json, const GatewayAddress& gateway) {
  json.object();
  if (const auto* key = std::get_if<workload::ServiceKey>(&gateway.destination)) {
    json.field("destination", key->to_string());
  } else {
    const auto& at = std::get<workload::NetworkAddress>(gateway.destination);
    json.field("destination", address_text(at.network, at.ip.to_string()));
  }
  json.field("hboneMtlsPort", std::int64_t{gateway.hbone_port});
  json.end();
}

void write_ports(JsonWriter& json, std::vector<workload::Port> ports) {
  std::ranges::sort(ports, {}, &workload::Port::service_port);
  json.object();
  for (const workload::Port& port : ports) {
    json.field(std::to_string(port.service_port), std::int64_t{port.target_port});
  }
  json.end();
}

void write_strings(JsonWriter& json, const std::vector<std::string>& texts) {
  json.array();
  for (const std::string& text : texts) json.text(text);
  json.end();
}

void write_workload_kind(JsonWriter& json, const Workload& one) {
  json.field("networkMode",
             one.network_mode == workload::NetworkMode::kHostNetwork ? "HostNetwork" : "Standard");
  json.field("node", one.node);
  json.field("protocol", one.tunnel == workload::TunnelProtocol::kHbone ? "HBONE" : "TCP");
  json.field("serviceAccount", one.service_account);
  json.key("services").object();
  std::vector<const workload::Membership*> members;
  for (const auto& member : one.services) members.push_back(&member);
  std::ranges::sort(members, {}, [](const auto* member) { return member->service.to_string(); });
  for (const workload::Membership* member : members) {
    json.key(member->service.to_string());
    write_ports(json, member->ports);
  }
  json.end();
  json.field("status", one.health == workload::Health::kHealthy ? "Healthy" : "Unhealthy");
  json.field("trustDomain", one.trust_domain);
  json.field("uid", one.uid);
}

void write_workload(JsonWriter& json, const Workload& one) {
  json.object();
  if (one.application_tunnel) {
    json.key("applicationTunnel").object();
    if (one.application_tunnel->port) {
      json.field("port", std::int64_t{*one.application_tunnel->port});
    }
    const bool proxy =
        one.application_tunnel->protocol == workload::ApplicationTunnel::Protocol::kProxy;
    json.field("protocol", proxy ? "PROXY" : "NONE");
    json.end();
  }
  if (!one.authorization_policies.empty()) {
    json.key("authorizationPolicies");
    write_strings(json, one.authorization_policies);
  }
  json.field("canonicalName", one.canonical_name);
  json.field("canonicalRevision", one.canonical_revision);
  json.field("capacity", std::int64_t{one.capacity});
  json.field("clusterId", one.cluster_id);
  if (!one.hostname.empty()) json.field("hostname", one.hostname);
  if (one.locality != workload::Locality{}) {
    json.key("locality").object();
    json.field("region", one.locality.region);
    json.field("subzone", one.locality.subzone);
    json.field("zone", one.locality.zone);
    json.end();
  }
  json.field("name", one.name);
  json.field("namespace", one.ns);
  if (one.native_tunnel) json.field("nativeTunnel", true);
  if (!one.network.empty()) json.field("network", one.network);
  if (one.network_gateway) {
    json.key("networkGateway");
    write_gateway(json, *one.network_gateway);
  }
  write_workload_kind(json, one);
  if (one.waypoint) {
    json.key("waypoint");
    write_gateway(json, *one.waypoint);
  }
  json.key("workloadIps").array();
  for (const net::IpAddress& ip : one.addresses) json.text(ip.to_string());
  json.end();
  json.field("workloadName", one.workload_name);
  json.field("workloadType", workload::type_name(one.type));
  json.end();
}

void write_endpoints(JsonWriter& json, const workload::Directory& directory,
                     const workload::ServiceKey& key) {
  std::map<std::string, workload::Endpoint> sorted;
  directory.for_each_endpoint(workload::ServiceKeyView{key.ns, key.hostname},
                              [&](const workload::Endpoint& endpoint) {
                                sorted.emplace(endpoint.workload->uid, endpoint);
                              });
  json.object();
  for (const auto& [uid, endpoint] : sorted) {
    json.key(uid).object();
    json.key("port");
    write_ports(json, endpoint.membership().ports);
    json.field("status",
               endpoint.workload->health == workload::Health::kHealthy ? "Healthy" : "Unhealthy");
    json.field("workloadUid", uid);
    json.end();
  }
  json.end();
}

void write_load_balancer(JsonWriter& json, const workload::LoadBalancing& balancing) {
  using workload::LoadBalancing;
  if (balancing == LoadBalancing{}) return;
  constexpr std::string_view kScopes[] = {"Region", "Zone",    "Subzone",
                                          "Node",   "Cluster", "Network"};
  constexpr std::string_view kModes[] = {"Standard", "Strict", "Failover", "Passthrough"};
  json.key("loadBalancer").object();
  json.field("healthPolicy", balancing.health == LoadBalancing::HealthPolicy::kAllowAll
                                 ? "AllowAll"
                                 : "OnlyHealthy");
  json.field("mode", kModes[static_cast<std::size_t>(balancing.mode)]);
  json.key("routingPreferences").array();
  for (const auto scope : balancing.preference) json.text(kScopes[static_cast<std::size_t>(scope)]);
  json.end();
  json.end();
}

void write_service(JsonWriter& json, const workload::Directory& directory, const Service& one) {
  constexpr std::string_view kFamilies[] = {"", "IPv4", "IPv6", "Dual"};
  json.object();
  json.field("canonical", one.canonical);
  std::vector<const workload::Vip*> blocks, single;
  for (const workload::Vip& vip : one.vips) {
    const bool is_single = vip.block.length() == (vip.block.base().is_v4() ? 32u : 128u);
    (is_single ? single : blocks).push_back(&vip);
  }
  if (!blocks.empty()) {
    json.key("cidrVips").array();
    for (const workload::Vip* vip : blocks) {
      json.object();
      json.field("cidr", vip->block.to_string());
      json.field("network", vip->network);
      json.end();
    }
    json.end();
  }
  json.key("endpoints");
  write_endpoints(json, directory, one.key);
  json.field("hostname", one.key.hostname);
  if (one.ip_families != workload::IpFamilies::kAutomatic) {
    json.field("ipFamilies", kFamilies[static_cast<std::size_t>(one.ip_families)]);
  }
  write_load_balancer(json, one.load_balancing);
  json.field("name", one.name);
  json.field("namespace", one.key.ns);
  json.key("ports");
  write_ports(json, one.ports);
  json.key("subjectAltNames");
  write_strings(json, one.subject_alt_names);
  json.key("vips").array();
  for (const workload::Vip* vip : single) {
    json.text(address_text(vip->network, vip->block.base().to_string()));
  }
  json.end();
  json.field("visibility",
             one.visibility == workload::Visibility::kPublic ? "Public" : "Namespace");
  if (one.waypoint) {
    json.key("waypoint");
    write_gateway(json, *one.waypoint);
  }
  if (!one.weighted_waypoints.empty()) {
    json.key("weightedWaypoints").array();
    for (const workload::WeightedWaypoint& weighted : one.weighted_waypoints) {
      json.object();
      json.key("destination");
      write_gateway(json, weighted.gateway);
      json.field("weight", std::int64_t{weighted.weight});
      json.end();
    }
    json.end();
  }
  json.end();
}

void write_string_matches(JsonWriter& json, std::string_view name,
                          const std::vector<policy::StringMatch>& matches) {
  constexpr std::string_view kKinds[] = {"Exact", "Prefix", "Suffix", "Presence"};
  if (matches.empty()) return;
  json.key(name).array();
  for (const policy::StringMatch& match : matches) {
    json.object();
    json.key(kKinds[static_cast<std::size_t>(match.kind)]);
    if (match.kind == policy::StringMatch::Kind::kPresence) {
      json.array();
      json.end();
    } else {
      json.text(match.value);
    }
    json.end();
  }
  json.end();
}

void write_accounts(JsonWriter& json, std::string_view name,
                    const std::vector<policy::ServiceAccountMatch>& accounts) {
  if (accounts.empty()) return;
  json.key(name).array();
  for (const policy::ServiceAccountMatch& account : accounts) {
    json.object();
    json.field("namespace", account.ns);
    json.field("serviceAccount", account.service_account);
    json.end();
  }
  json.end();
}

void write_blocks(JsonWriter& json, std::string_view name, const std::vector<net::Cidr>& blocks) {
  if (blocks.empty()) return;
  json.key(name).array();
  for (const net::Cidr& block : blocks) json.text(block.to_string());
  json.end();
}

void write_match_ports(JsonWriter& json, std::string_view name,
                       const std::vector<std::uint16_t>& ports) {
  if (ports.empty()) return;
  json.key(name).array();
  for (const std::uint16_t port : ports) json.number(port);
  json.end();
}

void write_match(JsonWriter& json, const policy::Match& match) {
  json.object();
  write_blocks(json, "destinationIps", match.destination_ips);
  write_match_ports(json, "destinationPorts", match.destination_ports);
  write_string_matches(json, "namespaces", match.namespaces);
  write_blocks(json, "notDestinationIps", match.not_destination_ips);
  write_match_ports(json, "notDestinationPorts", match.not_destination_ports);
  write_string_matches(json, "notNamespaces", match.not_namespaces);
  write_string_matches(json, "notPrincipals", match.not_principals);
  write_accounts(json, "notServiceAccounts", match.not_service_accounts);
  write_blocks(json, "notSourceIps", match.not_source_ips);
  write_string_matches(json, "principals", match.principals);
  write_accounts(json, "serviceAccounts", match.service_accounts);
  write_blocks(json, "sourceIps", match.source_ips);
  json.end();
}

void write_policy(JsonWriter& json, const policy::Policy& one) {
  constexpr std::string_view kScopes[] = {"Global", "Namespace", "WorkloadSelector"};
  json.object();
  json.field("action", one.action == policy::Action::kAllow ? "Allow" : "Deny");
  json.field("dryRun", one.dry_run);
  json.field("name", one.name);
  json.field("namespace", one.ns);
  if (!one.usable()) json.field("problem", one.problem);  // ours: it denies its scope
  json.key("rules").array();
  for (const policy::Rule& rule : one.any_of) {
    json.array();
    for (const policy::Clause& clause : rule.all_of) {
      json.array();
      for (const policy::Match& match : clause.any_of) write_match(json, match);
      json.end();
    }
    json.end();
  }
  json.end();
  json.field("scope", kScopes[static_cast<std::size_t>(one.scope)]);
  json.end();
}

}  // namespace

void write_policies(JsonWriter& json, const workload::Directory& directory) {
  std::map<std::string, policy::PolicyPtr> sorted;
  directory.policies().for_each([&](const policy::PolicyPtr& one) { sorted[one->key] = one; });
  json.array();
  for (const auto& [key, one] : sorted) write_policy(json, *one);
  json.end();
}

void write_services(JsonWriter& json, const workload::Directory& directory) {
  std::map<std::string, workload::ServicePtr> sorted;
  directory.for_each_service(
      [&](const workload::ServicePtr& one) { sorted[one->key.to_string()] = one; });
  json.array();
  for (const auto& [key, one] : sorted) write_service(json, directory, *one);
  json.end();
}

void write_staged(JsonWriter& json, const workload::Directory& directory) {
  std::map<std::string, workload::ServiceKey> sorted;
  directory.for_each_staged(
      [&](const workload::ServiceKey& key, std::size_t) { sorted[key.to_string()] = key; });
  json.object();
  for (const auto& [text, key] : sorted) {
    json.key(text);
    write_endpoints(json, directory, key);
  }
  json.end();
}

void write_workloads(JsonWriter& json, const workload::Directory& directory) {
  std::map<std::string, workload::WorkloadPtr> sorted;
  directory.for_each_workload([&](const workload::WorkloadPtr& one) { sorted[one->uid] = one; });
  json.array();
  for (const auto& [uid, one] : sorted) write_workload(json, *one);
  json.end();
}

void write_rejected(JsonWriter& json, const workload::Directory& directory) {
  std::map<std::string, std::string> sorted;
  directory.for_each_refused(
      [&](const workload::Refused& one) { sorted[one.resource] = one.problem; });
  directory.for_each_rejected_update(
      [&](const std::string& name, const std::string& problem) { sorted[name] = problem; });
  json.object();
  for (const auto& [name, problem] : sorted) json.field(name, problem);
  json.end();
}

}  // namespace mesh::ztunnel
