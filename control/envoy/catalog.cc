#include "control/envoy/catalog.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "control/translate_services.h"
#include "control/translate_workloads.h"
#include "workload.pb.h"

namespace mesh::control {
namespace {

namespace wire = istio::workload;

std::string text_of(const std::string& bytes) {
  const auto ip = net::IpAddress::from_bytes(bytes);
  return ip ? ip->to_string() : std::string();
}

PortProtocol protocol_of(wire::AppProtocol protocol) {
  switch (protocol) {
    case wire::HTTP11:
      return PortProtocol::kHttp;
    case wire::HTTP2:
    case wire::GRPC:
      return PortProtocol::kHttp2;
    case wire::TCP:
    case wire::TLS:
      return PortProtocol::kTcp;
    default:
      return PortProtocol::kUnknown;
  }
}

// "CLUSTER//Pod/NAMESPACE/NAME" and its like: what stands behind the kind.
std::string_view after(std::string_view uid, std::string_view kind) {
  const auto at = uid.find(kind);
  return at == std::string_view::npos ? std::string_view() : uid.substr(at + kind.size());
}

const manifest::Labels* labels_of(const World& world, const wire::Workload& workload) {
  if (!after(workload.uid(), "/Pod/").empty()) {
    const auto* pod = world.find<manifest::Pod>(workload.namespace_(), workload.name());
    return pod == nullptr ? nullptr : &pod->metadata.labels;
  }
  if (!after(workload.uid(), "/WorkloadEntry/").empty()) {
    const auto* entry = world.find<manifest::WorkloadEntry>(workload.namespace_(), workload.name());
    if (entry == nullptr) return nullptr;
    return entry->labels.empty() ? &entry->metadata.labels : &entry->labels;
  }
  const std::string_view inline_endpoint = after(workload.uid(), "/ServiceEntry/");
  if (inline_endpoint.empty()) return nullptr;
  const auto* service = world.find<manifest::ServiceEntry>(workload.namespace_(), workload.name());
  if (service == nullptr) return nullptr;
  for (const manifest::WorkloadEntry& endpoint : service->endpoints) {
    if (inline_endpoint.ends_with("/" + endpoint.address)) return &endpoint.labels;
  }
  return nullptr;
}

CatalogWorkload read_workload(const World& world, const wire::Workload& from) {
  CatalogWorkload to;
  to.uid = from.uid();
  to.ns = from.namespace_();
  to.name = from.name();
  for (const std::string& address : from.addresses()) to.addresses.push_back(text_of(address));
  to.hostname = from.hostname();
  to.hbone = from.tunnel_protocol() == wire::HBONE;
  to.healthy = from.status() == wire::HEALTHY;
  to.locality = {from.locality().region(), from.locality().zone(), from.locality().subzone()};
  if (from.has_capacity()) to.weight = from.capacity().value();
  const bool latest = from.canonical_revision() == "latest";
  to.description = from.name() + ";" + from.namespace_() + ";" + from.canonical_name() + ";" +
                   (latest ? "" : from.canonical_revision()) + ";" + from.cluster_id();
  if (from.has_waypoint()) to.waypoint = from.waypoint().hostname().hostname();
  to.labels = labels_of(world, from);
  return to;
}

CatalogService read_service(const std::string& key, const wire::Service& from) {
  CatalogService to;
  to.key = key;
  to.ns = from.namespace_();
  to.name = from.name();
  to.host = from.hostname();
  for (const wire::NetworkAddress& address : from.addresses()) {
    const auto ip = net::IpAddress::from_bytes(address.address());
    if (!ip) continue;
    const unsigned whole = ip->is_v4() ? 32 : 128;
    const auto block = net::Cidr::make(*ip, address.has_length() ? address.length() : whole);
    if (block) to.addresses.push_back(*block);
  }
  for (const wire::Port& port : from.ports()) {
    to.ports.push_back(
        {static_cast<std::uint16_t>(port.service_port()), protocol_of(port.app_protocol())});
  }
  if (from.has_waypoint()) to.waypoint = from.waypoint().hostname().hostname();
  const wire::LoadBalancing& balancing = from.load_balancing();
  to.prefers_close = balancing.mode() == wire::LoadBalancing::FAILOVER;
  to.allows_unhealthy = balancing.health_policy() == wire::LoadBalancing::ALLOW_ALL;
  return to;
}

}  // namespace

const CatalogPort* CatalogService::port(std::uint16_t number) const {
  const auto found = std::find_if(ports.begin(), ports.end(),
                                  [&](const CatalogPort& own) { return own.number == number; });
  return found == ports.end() ? nullptr : &*found;
}

Catalog::Catalog(const World& world, const Settings& settings) : domain_(settings.cluster_domain) {
  const Addresses addresses = translate_workloads(world, settings);
  std::size_t count = 0;
  for (const auto& [key, address] : addresses) count += address.has_workload() ? 1 : 0;
  workloads_.reserve(count);  // they are pointed at
  for (const auto& [key, address] : addresses) {
    if (address.has_service()) services_.emplace(key, read_service(key, address.service()));
  }
  for (const auto& [key, address] : addresses) {
    if (!address.has_workload()) continue;
    const CatalogWorkload& workload =
        workloads_.emplace_back(read_workload(world, address.workload()));
    for (const auto& [service, ports] : address.workload().services()) {
      const auto found = services_.find(service);
      if (found == services_.end()) continue;
      Backing backing{.workload = &workload, .targets = {}};
      for (const wire::Port& port : ports.ports()) {
        backing.targets[static_cast<std::uint16_t>(port.service_port())] =
            static_cast<std::uint16_t>(port.target_port());
      }
      found->second.backing.push_back(std::move(backing));
    }
  }
  for (auto& [key, service] : services_) {
    by_host_.emplace(service.host, &service);
    if (const auto* own = world.find<manifest::Service>(service.ns, service.name);
        own != nullptr && service_host(*own, settings) == service.host) {
      service.metadata = &own->metadata;
      service.headless = own->headless;
    } else if (const auto* entry = world.find<manifest::ServiceEntry>(service.ns, service.name)) {
      service.metadata = &entry->metadata;
      service.is_entry = true;
      service.by_name = entry->resolution.starts_with("DNS");
      service.headless = entry->resolution == "NONE";
    }
  }
}

const CatalogService* Catalog::find(std::string_view ns, std::string_view host) const {
  const auto found = services_.find(std::string(ns) + "/" + std::string(host));
  return found == services_.end() ? nullptr : &found->second;
}

const CatalogService* Catalog::find_host(std::string_view ns, std::string_view host) const {
  if (const CatalogService* own = find(ns, host)) return own;
  const auto any = by_host_.find(host);
  return any == by_host_.end() ? nullptr : any->second;
}

const CatalogService* Catalog::of_service(std::string_view ns, std::string_view name) const {
  return find(ns, std::string(name) + "." + std::string(ns) + ".svc." + domain_);
}

Locality locality_of(const World& world, const manifest::Pod& pod) {
  const auto* node = world.find<manifest::Node>("", pod.node_name);
  if (node == nullptr) return {};
  return {std::string(node->metadata.label("topology.kubernetes.io/region")),
          std::string(node->metadata.label("topology.kubernetes.io/zone")),
          std::string(node->metadata.label("topology.istio.io/subzone"))};
}

}  // namespace mesh::control
