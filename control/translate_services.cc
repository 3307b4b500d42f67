#include "control/translate_services.h"

#include <algorithm>
#include <cctype>
#include <set>
#include <tuple>
#include <utility>

namespace mesh::control {
namespace {

using manifest::ServiceEntry;
using manifest::ServicePort;
namespace wire = istio::workload;

std::string lower(std::string_view text) {
  std::string lowered(text);
  std::transform(lowered.begin(), lowered.end(), lowered.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lowered;
}

// The protocol that a port's appProtocol, or else the start of its name, says.
wire::AppProtocol named_protocol(std::string_view name) {
  std::string word = lower(name);
  if (word == "kubernetes.io/h2c") return wire::HTTP2;
  if (word == "kubernetes.io/ws") return wire::HTTP11;
  if (word == "kubernetes.io/wss") return wire::TLS;
  if (word.starts_with("grpc-web")) return wire::UNKNOWN;
  word.resize(std::min(word.size(), word.find('-')));
  if (word == "http") return wire::HTTP11;
  if (word == "http2") return wire::HTTP2;
  if (word == "grpc") return wire::GRPC;
  if (word == "tcp") return wire::TCP;
  if (word == "tls" || word == "https") return wire::TLS;
  return wire::UNKNOWN;
}

wire::AppProtocol protocol_of(const ServicePort& port) {
  const std::string& word = port.app_protocol.empty() ? port.name : port.app_protocol;
  const wire::AppProtocol named = named_protocol(word);
  // Ports whose server speaks first, by number: SMTP, DNS, MySQL, MongoDB.
  const bool known = port.port == 25 || port.port == 53 || port.port == 3306 || port.port == 27017;
  return named == wire::UNKNOWN && known ? wire::TCP : named;
}

void set_load_balancing(const manifest::Service& service, wire::Service& into) {
  using Balancing = wire::LoadBalancing;
  if (service.publish_not_ready) {
    into.mutable_load_balancing()->set_health_policy(Balancing::ALLOW_ALL);
  }
  if (service.internal_traffic_policy == "Local") {
    into.mutable_load_balancing()->set_mode(Balancing::STRICT);
    into.mutable_load_balancing()->add_routing_preference(Balancing::NODE);
    return;
  }
  std::string_view wanted = service.traffic_distribution;
  if (wanted.empty()) {
    wanted = service.metadata.annotation("networking.istio.io/traffic-distribution");
  }
  const bool node = wanted == "PreferSameNode";
  if (!node && wanted != "PreferClose" && wanted != "PreferSameZone") return;
  Balancing* balancing = into.mutable_load_balancing();
  balancing->set_mode(Balancing::FAILOVER);
  balancing->add_routing_preference(Balancing::NETWORK);
  balancing->add_routing_preference(Balancing::REGION);
  balancing->add_routing_preference(Balancing::ZONE);
  if (!node) return;
  balancing->add_routing_preference(Balancing::SUBZONE);
  balancing->add_routing_preference(Balancing::NODE);
}

// What the API server would have put into spec.ipFamilies.
wire::IPFamilies families_of(const manifest::Service& service) {
  bool v4 = false;
  bool v6 = false;
  for (const manifest::IpFamily family : service.ip_families) {
    (family == manifest::IpFamily::kV4 ? v4 : v6) = true;
  }
  if (!v4 && !v6) {
    for (const net::IpAddress& ip : service.cluster_ips) (ip.is_v4() ? v4 : v6) = true;
  }
  if (v4 && v6) return wire::DUAL;
  return v6 ? wire::IPV6_ONLY : wire::IPV4_ONLY;
}

// The label on the object, or on its namespace.
bool ingress_uses_waypoint(const World& world, const manifest::Metadata& object) {
  if (mesh_label(object, "ingress-use-waypoint") == "true") return true;
  const auto* ns = world.find<manifest::Namespace>("", object.ns);
  return ns != nullptr && mesh_label(ns->metadata, "ingress-use-waypoint") == "true";
}

void add_service(const World& world, const Settings& settings, const manifest::Service& service,
                 Addresses& into) {
  if (service.type == "ExternalName") return;
  const std::string host = service_host(service, settings);
  wire::Service& to = *into[service.metadata.ns + "/" + host].mutable_service();
  to.set_name(service.metadata.name);
  to.set_namespace_(service.metadata.ns);
  to.set_hostname(host);
  for (const net::IpAddress& ip : service.cluster_ips) {
    to.add_addresses()->set_address(address_bytes(ip));
  }
  for (const ServicePort& port : service.ports) {
    if (!is_tcp(port.protocol)) continue;
    wire::Port* added = to.add_ports();
    added->set_service_port(port.port);
    if (port.target.name.empty()) {
      added->set_target_port(port.target.empty() ? port.port : port.target.number);
    }
    added->set_app_protocol(protocol_of(port));
  }
  set_waypoint(waypoint_of(world, settings, service.metadata, WaypointTraffic::kService), to);
  if (to.has_waypoint())
    to.set_ingress_use_waypoint(ingress_uses_waypoint(world, service.metadata));
  set_load_balancing(service, to);
  to.set_ip_families(families_of(service));
  to.set_canonical(true);
}

// Whether that ServiceEntry owns the host name: it is the oldest, and no Kubernetes Service has it.
bool is_canonical(const World& world, const Settings& settings, const WorldIndex& index,
                  const ServiceEntry& entry, const std::string& host) {
  const auto age = [](const ServiceEntry& e) {
    return std::tie(e.metadata.created, e.metadata.ns, e.metadata.name);
  };
  if (service_of_host(world, settings, host) != nullptr) return false;
  for (const auto& [name, other] : index.entries_of_host(host)) {
    const bool other_undated = other->metadata.created.empty();
    const bool undated = entry.metadata.created.empty();
    const bool older =
        other_undated == undated ? age(*other) < age(entry) : undated && !other_undated;
    if (older) return false;
  }
  return true;
}

void translate_host(const World& world, const Settings& settings, const ServiceEntry& entry,
                    const std::string& host, bool canonical, Addresses& into) {
  wire::Service& to = *into[entry.metadata.ns + "/" + host].mutable_service();
  to.set_name(entry.metadata.name);
  to.set_namespace_(entry.metadata.ns);
  to.set_hostname(host);
  for (const net::Cidr& block : entry.addresses) {
    wire::NetworkAddress* address = to.add_addresses();
    address->set_address(address_bytes(block.base()));
    const unsigned bits = block.base().is_v4() ? 32 : 128;
    if (block.length() != bits) address->set_length(block.length());
  }
  for (const manifest::AllocatedAddress& allocated : entry.allocated) {
    if (entry.addresses.empty() && allocated.host == host) {
      to.add_addresses()->set_address(address_bytes(allocated.address));
    }
  }
  // The wire knows "everybody" and "its own namespace": what is neither is the narrower.
  const bool everybody =
      entry.export_to.empty() ||
      std::find(entry.export_to.begin(), entry.export_to.end(), "*") != entry.export_to.end();
  if (!everybody) to.set_visibility(wire::Service::NAMESPACE);
  to.set_canonical(canonical);
  if (entry.closed) return;  // without ports and endpoints there is nowhere to go
  for (const manifest::ServiceEntryPort& port : entry.ports) {
    if (!is_tcp(port.protocol)) continue;
    wire::Port* added = to.add_ports();
    added->set_service_port(port.number);
    added->set_target_port(port.target_port == 0 ? port.number : port.target_port);
    added->set_app_protocol(named_protocol(port.protocol.empty() ? port.name : port.protocol));
  }
  for (const std::string& name : entry.subject_alt_names) to.add_subject_alt_names(name);
  set_waypoint(waypoint_of(world, settings, entry.metadata, WaypointTraffic::kService), to);
  if (to.has_waypoint()) to.set_ingress_use_waypoint(ingress_uses_waypoint(world, entry.metadata));
  if (entry.resolution == "NONE") {
    to.mutable_load_balancing()->set_mode(wire::LoadBalancing::PASSTHROUGH);
    to.mutable_load_balancing()->set_health_policy(wire::LoadBalancing::ALLOW_ALL);
  }
}

}  // namespace

std::string service_host(const manifest::Service& service, const Settings& settings) {
  return service.metadata.name + "." + service.metadata.ns + ".svc." + settings.cluster_domain;
}

bool is_tcp(std::string_view protocol) { return protocol != "UDP" && protocol != "SCTP"; }

std::string address_bytes(const net::IpAddress& ip) {
  const auto bytes = ip.bytes();
  return std::string(bytes.begin(), bytes.end());
}

const manifest::Service* service_of_host(const World& world, const Settings& settings,
                                         std::string_view host) {
  const std::string domain = ".svc." + settings.cluster_domain;
  if (!host.ends_with(domain)) return nullptr;
  const std::string_view name = host.substr(0, host.size() - domain.size());
  const auto dot = name.rfind('.');  // the name of a namespace has none
  if (dot == std::string_view::npos) return nullptr;
  return world.find<manifest::Service>(name.substr(dot + 1), name.substr(0, dot));
}

void translate_service(const World& world, const Settings& settings, const WorldIndex& index,
                       const std::string& ns, const std::string& host, Addresses& into) {
  // A ServiceEntry that takes the very name of a Service of its namespace gives way.
  const manifest::Service* service = service_of_host(world, settings, host);
  if (service != nullptr && service->metadata.ns == ns) {
    return add_service(world, settings, *service, into);
  }
  const auto& entries = index.entries_of_host(host);
  for (auto it = entries.lower_bound({ns, ""}); it != entries.end() && it->first.first == ns;
       ++it) {
    const ServiceEntry& entry = *it->second;
    const bool canonical = is_canonical(world, settings, index, entry, host);
    for (const std::string& own : entry.hosts) {
      if (own == host) translate_host(world, settings, entry, host, canonical, into);
    }
  }
}

void translate_services(const World& world, const Settings& settings, const WorldIndex& index,
                        Addresses& into) {
  std::set<NamedAs> names;
  for (const ServiceEntry* entry : world.all<ServiceEntry>()) {
    for (const std::string& host : entry->hosts) names.emplace(entry->metadata.ns, host);
  }
  for (const manifest::Service* service : world.all<manifest::Service>()) {
    names.emplace(service->metadata.ns, service_host(*service, settings));
  }
  for (const auto& [ns, host] : names) translate_service(world, settings, index, ns, host, into);
}

}  // namespace mesh::control
