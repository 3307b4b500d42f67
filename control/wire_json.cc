#include "control/wire_json.h"

#include <nlohmann/json.hpp>

#include "authorization.pb.h"
#include "workload.pb.h"

namespace mesh::control {
namespace {

using nlohmann::json;
namespace wire = istio::workload;
namespace security = istio::security;

std::string ip_text(const std::string& bytes) {
  const auto ip = net::IpAddress::from_bytes(bytes);
  return ip ? ip->to_string() : "(invalid)";
}

void put(json& into, const char* key, const std::string& value) {
  if (!value.empty()) into[key] = value;
}
void put(json& into, const char* key, bool value) {
  if (value) into[key] = true;
}

template <class List, class Convert>
void put_list(json& into, const char* key, const List& list, Convert convert) {
  for (const auto& item : list) into[key].push_back(convert(item));
}

json port_json(const wire::Port& port) {
  static const char* const kNames[] = {"", "HTTP11", "HTTP2", "GRPC", "TCP", "TLS"};
  json to = json::object();
  if (port.service_port() != 0) to["servicePort"] = port.service_port();
  if (port.target_port() != 0) to["targetPort"] = port.target_port();
  if (port.app_protocol() > 0 && port.app_protocol() <= wire::TLS) {
    to["appProtocol"] = kNames[port.app_protocol()];
  }
  return to;
}

json network_address(const wire::NetworkAddress& address) {
  json to = json::object();
  put(to, "network", address.network());
  to["address"] = ip_text(address.address());
  if (address.has_length()) to["length"] = address.length();
  return to;
}

json gateway(const wire::GatewayAddress& address) {
  json to = json::object();
  if (address.has_hostname()) {
    to["hostname"] = {{"namespace", address.hostname().namespace_()},
                      {"hostname", address.hostname().hostname()}};
  } else if (address.has_address()) {
    to["address"] = network_address(address.address());
  }
  if (address.hbone_mtls_port() != 0) to["hboneMtlsPort"] = address.hbone_mtls_port();
  return to;
}

json load_balancing(const wire::LoadBalancing& from) {
  static const char* const kScopes[] = {"UNSPECIFIED_SCOPE", "REGION", "ZONE", "SUBZONE", "NODE",
                                        "CLUSTER",           "NETWORK"};
  static const char* const kModes[] = {"", "STRICT", "FAILOVER", "PASSTHROUGH"};
  json to = json::object();
  for (const int scope : from.routing_preference()) {
    to["routingPreference"].push_back(kScopes[scope]);
  }
  if (from.mode() != 0) to["mode"] = kModes[from.mode()];
  if (from.health_policy() == wire::LoadBalancing::ALLOW_ALL) to["healthPolicy"] = "ALLOW_ALL";
  return to;
}

json service_json(const wire::Service& from) {
  static const char* const kFamilies[] = {"", "IPV4_ONLY", "IPV6_ONLY", "DUAL"};
  json to = json::object();
  put(to, "name", from.name());
  put(to, "namespace", from.namespace_());
  put(to, "hostname", from.hostname());
  put_list(to, "addresses", from.addresses(), network_address);
  put_list(to, "ports", from.ports(), port_json);
  for (const std::string& name : from.subject_alt_names()) to["subjectAltNames"].push_back(name);
  if (from.has_waypoint()) to["waypoint"] = gateway(from.waypoint());
  if (from.has_load_balancing()) to["loadBalancing"] = load_balancing(from.load_balancing());
  if (from.ip_families() != 0) to["ipFamilies"] = kFamilies[from.ip_families()];
  put(to, "canonical", from.canonical());
  put(to, "ingressUseWaypoint", from.ingress_use_waypoint());
  if (from.visibility() == wire::Service::NAMESPACE) to["visibility"] = "NAMESPACE";
  return to;
}

json workload_json(const wire::Workload& from) {
  static const char* const kTypes[] = {"", "CRONJOB", "POD", "JOB"};
  static const char* const kTunnels[] = {"", "HBONE", "LEGACY_ISTIO_MTLS"};
  json to = json::object();
  put(to, "uid", from.uid());
  put(to, "name", from.name());
  put(to, "namespace", from.namespace_());
  put_list(to, "addresses", from.addresses(), ip_text);
  put(to, "hostname", from.hostname());
  put(to, "network", from.network());
  if (from.tunnel_protocol() != 0) to["tunnelProtocol"] = kTunnels[from.tunnel_protocol()];
  put(to, "trustDomain", from.trust_domain());
  put(to, "serviceAccount", from.service_account());
  if (from.has_waypoint()) to["waypoint"] = gateway(from.waypoint());
  put(to, "node", from.node());
  put(to, "canonicalName", from.canonical_name());
  put(to, "canonicalRevision", from.canonical_revision());
  if (from.workload_type() != 0) to["workloadType"] = kTypes[from.workload_type()];
  put(to, "workloadName", from.workload_name());
  put(to, "nativeTunnel", from.native_tunnel());
  for (const std::string& name : from.authorization_policies()) {
    to["authorizationPolicies"].push_back(name);
  }
  if (from.status() == wire::UNHEALTHY) to["status"] = "UNHEALTHY";
  put(to, "clusterId", from.cluster_id());
  for (const auto& [name, ports] : from.services()) {
    json& list = to["services"][name] = json::object();
    put_list(list, "ports", ports.ports(), port_json);
  }
  if (from.has_application_tunnel()) {
    json& tunnel = to["applicationTunnel"] = json::object();
    if (from.application_tunnel().protocol() != 0) tunnel["protocol"] = "PROXY";
    if (from.application_tunnel().port() != 0) tunnel["port"] = from.application_tunnel().port();
  }
  if (from.has_locality()) {
    json& locality = to["locality"] = json::object();
    put(locality, "region", from.locality().region());
    put(locality, "zone", from.locality().zone());
    put(locality, "subzone", from.locality().subzone());
  }
  if (from.network_mode() == wire::HOST_NETWORK) to["networkMode"] = "HOST_NETWORK";
  if (from.has_capacity()) to["capacity"] = from.capacity().value();
  return to;
}

// ---- policies -----------------------------------------------------------------------------------

json string_match(const security::StringMatch& match) {
  if (match.has_exact()) return {{"exact", match.exact()}};
  if (match.has_prefix()) return {{"prefix", match.prefix()}};
  if (match.has_suffix()) return {{"suffix", match.suffix()}};
  if (match.has_presence()) return {{"presence", json::object()}};
  return json::object();
}

json block(const security::Address& address) {
  return ip_text(address.address()) + "/" + std::to_string(address.length());
}

json account(const security::ServiceAccountMatch& match) {
  return match.namespace_() + "/" + match.service_account();
}

json match_json(const security::Match& match) {
  json to = json::object();
  const auto number = [](std::uint32_t port) { return json(port); };
  put_list(to, "namespaces", match.namespaces(), string_match);
  put_list(to, "notNamespaces", match.not_namespaces(), string_match);
  put_list(to, "principals", match.principals(), string_match);
  put_list(to, "notPrincipals", match.not_principals(), string_match);
  put_list(to, "sourceIps", match.source_ips(), block);
  put_list(to, "notSourceIps", match.not_source_ips(), block);
  put_list(to, "destinationIps", match.destination_ips(), block);
  put_list(to, "notDestinationIps", match.not_destination_ips(), block);
  put_list(to, "destinationPorts", match.destination_ports(), number);
  put_list(to, "notDestinationPorts", match.not_destination_ports(), number);
  put_list(to, "serviceAccounts", match.service_accounts(), account);
  put_list(to, "notServiceAccounts", match.not_service_accounts(), account);
  return to;
}

json policy_json(const security::Authorization& from) {
  static const char* const kScopes[] = {"", "NAMESPACE", "WORKLOAD_SELECTOR"};
  json to = json::object();
  put(to, "name", from.name());
  put(to, "namespace", from.namespace_());
  if (from.scope() != 0) to["scope"] = kScopes[from.scope()];
  if (from.action() == security::DENY) to["action"] = "DENY";
  put(to, "dryRun", from.dry_run());
  for (const security::Rule& rule : from.rules()) {
    json clauses = json::object();
    for (const security::Clause& clause : rule.clauses()) {
      json matches = json::object();
      put_list(matches, "matches", clause.matches(), match_json);
      clauses["rules"].push_back(std::move(matches));
    }
    to["groups"].push_back(std::move(clauses));
  }
  return to;
}

}  // namespace

json to_json(xds::ResourceType type, const Resource& resource) {
  if (type == xds::ResourceType::kAuthorization) {
    security::Authorization policy;
    if (!policy.ParseFromString(resource.bytes)) return nullptr;
    return policy_json(policy);
  }
  wire::Address address;
  if (!address.ParseFromString(resource.bytes)) return nullptr;
  if (address.has_service()) return {{"service", service_json(address.service())}};
  return {{"workload", workload_json(address.workload())}};
}

}  // namespace mesh::control
