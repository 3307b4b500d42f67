#include "control/envoy/catalog.h"

#include <algorithm>
#include <optional>
#include <tuple>
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

// Which object labels_of() speaks of, but for pods, whose names are those of their workloads.
std::optional<manifest::Kind> labelled_by(const wire::Workload& workload) {
  if (!after(workload.uid(), "/WorkloadEntry/").empty()) return manifest::Kind::kWorkloadEntry;
  if (!after(workload.uid(), "/ServiceEntry/").empty()) return manifest::Kind::kServiceEntry;
  return {};
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

std::string own_host(const manifest::Service& service, const std::string& domain) {
  Settings settings;
  settings.cluster_domain = domain;
  return service_host(service, settings);
}

template <class T>
bool is_same_there(const T* a, const T* b) {
  return a == b || (a != nullptr && b != nullptr && *a == *b);
}

bool is_same(const CatalogWorkload& a, const CatalogWorkload& b) {
  const auto all = [](const CatalogWorkload& one) {
    return std::tie(one.uid, one.ns, one.name, one.addresses, one.hostname, one.hbone, one.healthy,
                    one.locality, one.weight, one.description, one.waypoint);
  };
  return all(a) == all(b) && is_same_there(a.labels, b.labels);
}

// But for what is behind it.
bool is_same(const CatalogService& a, const CatalogService& b) {
  const auto all = [](const CatalogService& one) {
    return std::tie(one.key, one.ns, one.name, one.host, one.addresses, one.ports, one.waypoint,
                    one.headless, one.is_entry, one.by_name, one.prefers_close,
                    one.allows_unhealthy);
  };
  if (all(a) != all(b) || (a.metadata == nullptr) != (b.metadata == nullptr)) return false;
  return a.metadata == nullptr || (a.metadata->labels == b.metadata->labels &&
                                   a.metadata->annotations == b.metadata->annotations);
}

// Takes `name` out of what is under `key`; nothing is kept that is empty.
template <class Index>
void drop(Index& index, const std::string& key, const std::string& name) {
  const auto found = index.find(key);
  if (found == index.end()) return;
  found->second.erase(name);
  if (found->second.empty()) index.erase(found);
}

}  // namespace

const CatalogPort* CatalogService::port(std::uint16_t number) const {
  const auto found = std::find_if(ports.begin(), ports.end(),
                                  [&](const CatalogPort& own) { return own.number == number; });
  return found == ports.end() ? nullptr : &*found;
}

Catalog::Catalog(const Settings& settings)
    : domain_(settings.cluster_domain), pods_(settings.cluster_id + "//Pod/") {}

Catalog::Catalog(const World& world, const Settings& settings) : Catalog(settings) {
  Changes changes;
  for (const auto& [name, address] : translate_workloads(world, settings)) {
    put(world, name, &address, changes);
  }
  fill(changes);
}

Catalog::Changes Catalog::follow(std::shared_ptr<const World> world, const Resources& addresses) {
  std::set<std::string> names;
  Resources::diff(addresses_, addresses,
                  [&](const auto& name, const auto*, const auto*) { names.insert(name); });
  const auto before = std::exchange(world_, std::move(world));  // is pointed into until the end
  const World nothing;
  Objects::diff((before == nullptr ? nothing : *before).objects(), world_->objects(),
                [&](const manifest::ObjectKey& key, const auto*, const auto*) {
                  if (key.kind == manifest::Kind::kPod) {
                    const std::string name = pods_ + key.ns + "/" + key.name;
                    if (workloads_.contains(name)) names.insert(name);
                  }
                  const auto about = about_.find(key);
                  if (about != about_.end()) {
                    names.insert(about->second.begin(), about->second.end());
                  }
                });
  addresses_ = addresses;
  Changes changes;
  for (const std::string& name : names) {
    const auto found = addresses_.find(name);
    wire::Address address;
    const bool there = found != addresses_.end() && address.ParseFromString(found->second->bytes);
    put(*world_, name, there ? &address : nullptr, changes);
  }
  fill(changes);
  return changes;
}

void Catalog::put(const World& world, const std::string& name, const wire::Address* address,
                  Changes& changes) {
  ++changes.read;
  const bool is_service = address != nullptr && address->has_service();
  put_service(world, name, is_service ? address : nullptr, changes);
  put_workload(world, name, address != nullptr && !is_service ? address : nullptr, changes);
}

void Catalog::put_workload(const World& world, const std::string& name,
                           const wire::Address* address, Changes& changes) {
  const auto known = workloads_.find(name);
  if (known == workloads_.end() && address == nullptr) return;
  Held now;
  if (address != nullptr) {
    const wire::Workload& from = address->workload();
    now.workload = read_workload(world, from);
    if (const auto kind = labelled_by(from)) {
      about_[{*kind, from.namespace_(), from.name()}].insert(name);
    }
    for (const auto& [service, ports] : from.services()) {
      Backing& backing = now.backs[service];
      for (const wire::Port& port : ports.ports()) {
        backing.targets[static_cast<std::uint16_t>(port.service_port())] =
            static_cast<std::uint16_t>(port.target_port());
      }
    }
  }
  if (known != workloads_.end()) {
    if (address != nullptr && is_same(known->second.workload, now.workload) &&
        std::equal(known->second.backs.begin(), known->second.backs.end(), now.backs.begin(),
                   now.backs.end(), [](const auto& a, const auto& b) {
                     return a.first == b.first && a.second.targets == b.second.targets;
                   })) {
      known->second.workload.labels = now.workload.labels;  // of the object as it is now
      return;
    }
    for (const auto& [service, backing] : known->second.backs) {
      changes.filled.insert(service);
      drop(backing_, service, name);
    }
    const std::string& waypoint = known->second.workload.waypoint;
    if (!waypoint.empty()) changes.waypoints.insert(waypoint);
    drop(workloads_behind_, waypoint, name);
  }
  if (address == nullptr) {
    workloads_.erase(known);
    return;
  }
  Held& held = workloads_[name] = std::move(now);
  for (auto& [service, backing] : held.backs) {
    backing.workload = &held.workload;
    backing_[service][name] = &backing;
    changes.filled.insert(service);
  }
  if (held.workload.waypoint.empty()) return;
  workloads_behind_[held.workload.waypoint].insert(name);
  changes.waypoints.insert(held.workload.waypoint);
}

void Catalog::put_service(const World& world, const std::string& name, const wire::Address* address,
                          Changes& changes) {
  const auto known = services_.find(name);
  if (known == services_.end() && address == nullptr) return;
  CatalogService now;
  if (address != nullptr) {
    now = read_service(name, address->service());
    describe(world, now);
  }
  if (known != services_.end()) {
    CatalogService& before = known->second;
    if (address != nullptr && is_same(before, now)) {
      before.metadata = now.metadata;  // of the object as it is now
      return;
    }
    changes.hosts.insert(before.host);
    if (!before.waypoint.empty()) changes.waypoints.insert(before.waypoint);
    drop(services_behind_, before.waypoint, name);
    drop(by_host_, before.host, name);
  }
  if (address == nullptr) {
    services_.erase(known);
    return;
  }
  changes.hosts.insert(now.host);
  changes.filled.insert(name);
  CatalogService& service = services_[name] = std::move(now);
  by_host_[service.host][name] = &service;
  if (service.waypoint.empty()) return;
  services_behind_[service.waypoint].insert(name);
  changes.waypoints.insert(service.waypoint);
}

// What the object that it is made from says more.
void Catalog::describe(const World& world, CatalogService& service) {
  about_[{manifest::Kind::kService, service.ns, service.name}].insert(service.key);
  about_[{manifest::Kind::kServiceEntry, service.ns, service.name}].insert(service.key);
  const auto* own = world.find<manifest::Service>(service.ns, service.name);
  if (own != nullptr && own_host(*own, domain_) == service.host) {
    service.metadata = &own->metadata;
    service.headless = own->headless;
  } else if (const auto* entry = world.find<manifest::ServiceEntry>(service.ns, service.name)) {
    service.metadata = &entry->metadata;
    service.is_entry = true;
    service.by_name = entry->resolution.starts_with("DNS");
    service.headless = entry->resolution == "NONE";
  }
}

// Puts the workloads behind those services whose endpoints are others.
void Catalog::fill(const Changes& changes) {
  for (const std::string& key : changes.filled) {
    const auto service = services_.find(key);
    if (service == services_.end()) continue;
    std::vector<Backing>& into = service->second.backing;
    into.clear();
    const auto backing = backing_.find(key);
    if (backing == backing_.end()) continue;
    into.reserve(backing->second.size());
    for (const auto& [workload, one] : backing->second) into.push_back(*one);
  }
}

const CatalogService* Catalog::seen(const CatalogService* service) const {
  if (reads_ != nullptr && service != nullptr) reads_->namespaces.insert(service->ns);
  return service;
}

const CatalogService* Catalog::find(std::string_view ns, std::string_view host) const {
  if (reads_ != nullptr) reads_->hosts.emplace(host);
  const auto found = services_.find(std::string(ns) + "/" + std::string(host));
  return seen(found == services_.end() ? nullptr : &found->second);
}

const CatalogService* Catalog::find_host(std::string_view ns, std::string_view host) const {
  if (const CatalogService* own = find(ns, host)) return own;
  const auto any = by_host_.find(host);
  return seen(any == by_host_.end() ? nullptr : any->second.begin()->second);
}

const CatalogService* Catalog::of_service(std::string_view ns, std::string_view name) const {
  return find(ns, std::string(name) + "." + std::string(ns) + ".svc." + domain_);
}

std::vector<const CatalogService*> Catalog::services_behind(const std::string& waypoint) const {
  std::vector<const CatalogService*> all;
  const auto found = services_behind_.find(waypoint);
  if (found == services_behind_.end()) return all;
  for (const std::string& key : found->second) all.push_back(seen(&services_.at(key)));
  return all;
}

std::vector<const CatalogWorkload*> Catalog::workloads_behind(const std::string& waypoint) const {
  std::vector<const CatalogWorkload*> all;
  const auto found = workloads_behind_.find(waypoint);
  if (found == workloads_behind_.end()) return all;
  for (const std::string& name : found->second) all.push_back(&workloads_.at(name).workload);
  return all;
}

Locality locality_of(const World& world, const manifest::Pod& pod) {
  const auto* node = world.find<manifest::Node>("", pod.node_name);
  if (node == nullptr) return {};
  return {std::string(node->metadata.label("topology.kubernetes.io/region")),
          std::string(node->metadata.label("topology.kubernetes.io/zone")),
          std::string(node->metadata.label("topology.istio.io/subzone"))};
}

}  // namespace mesh::control
