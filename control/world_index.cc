#include "control/world_index.h"

namespace mesh::control {
namespace {

using manifest::EndpointSlice;
using manifest::Metadata;
using manifest::Object;
using manifest::Pod;
using manifest::Service;
using manifest::ServiceEntry;

template <class Outer, class Key>
const typename Outer::mapped_type& in(const Outer& outer, const Key& key) {
  static const typename Outer::mapped_type kNone;
  const auto found = outer.find(key);
  return found == outer.end() ? kNone : found->second;
}

template <class Outer, class Key, class Inner>
void drop(Outer& outer, const Key& key, const Inner& inner) {
  const auto found = outer.find(key);
  if (found == outer.end()) return;
  found->second.erase(inner);
  if (found->second.empty()) outer.erase(found);
}

NamedAs named(const Metadata& metadata) { return {metadata.ns, metadata.name}; }

bool selects_pods(const Service* service) {
  return service != nullptr && service->type != "ExternalName" && !service->selector.empty();
}

bool has_own_address(const Pod* pod) {
  return pod != nullptr && !pod->host_network && is_running(*pod);
}

}  // namespace

std::vector<net::IpAddress> untargeted(const EndpointSlice& slice) {
  std::vector<net::IpAddress> addresses;
  for (const manifest::Endpoint& endpoint : slice.endpoints) {
    if (!endpoint.target_kind.empty() || endpoint.addresses.empty()) continue;
    if (const auto ip = net::IpAddress::parse(endpoint.addresses.front())) {
      addresses.push_back(*ip);
    }
  }
  return addresses;
}

void WorldIndex::change_pod(const Pod* before, const Pod* after) {
  if (has_own_address(before)) {
    for (const net::IpAddress& ip : before->ips) drop(pods_, ip, named(before->metadata));
  }
  if (before != nullptr) drop(by_node_, before->node_name, named(before->metadata));
  if (has_own_address(after)) {
    for (const net::IpAddress& ip : after->ips) pods_[ip][named(after->metadata)] = after;
  }
  if (after != nullptr) by_node_[after->node_name][named(after->metadata)] = after;
}

void WorldIndex::change_slice(const EndpointSlice* before, const EndpointSlice* after) {
  if (before != nullptr) {
    for (const auto& ip : untargeted(*before)) drop(slices_, ip, named(before->metadata));
  }
  if (after != nullptr) {
    for (const auto& ip : untargeted(*after)) slices_[ip][named(after->metadata)] = after;
  }
}

void WorldIndex::change_entry(const ServiceEntry* before, const ServiceEntry* after) {
  if (before != nullptr) {
    drop(entries_, before->metadata.ns, before->metadata.name);
    for (const std::string& host : before->hosts) drop(by_host_, host, named(before->metadata));
  }
  if (after != nullptr) {
    entries_[after->metadata.ns][after->metadata.name] = after;
    for (const std::string& host : after->hosts) by_host_[host][named(after->metadata)] = after;
  }
}

// `ns` is where what it says has an effect.
void WorldIndex::count_waypoints(const Metadata& object, const std::string& ns, int by) {
  const auto count = [&](std::string_view gateway_ns, std::string_view name) {
    if (name.empty()) return;
    const NamedAs gateway{gateway_ns.empty() ? ns : std::string(gateway_ns), name};
    auto& users = waypoint_users_[gateway];
    if ((users[ns] += by) <= 0) users.erase(ns);
    if (users.empty()) waypoint_users_.erase(gateway);
  };
  count(mesh_label(object, "use-waypoint-namespace"), mesh_label(object, "use-waypoint"));
  count(ns, object.label("gateway.networking.k8s.io/gateway-name"));
}

void WorldIndex::change(const Object* before, const Object* after) {
  const Object& any = after != nullptr ? *after : *before;
  for (const Object* object : {before, after}) {
    if (object == nullptr) continue;
    const Metadata& metadata = manifest::metadata_of(*object);
    const bool is_namespace = std::holds_alternative<manifest::Namespace>(*object);
    count_waypoints(metadata, is_namespace ? metadata.name : metadata.ns, object == after ? 1 : -1);
  }
  if (std::holds_alternative<Pod>(any)) {
    change_pod(std::get_if<Pod>(before), std::get_if<Pod>(after));
  } else if (std::holds_alternative<EndpointSlice>(any)) {
    change_slice(std::get_if<EndpointSlice>(before), std::get_if<EndpointSlice>(after));
  } else if (std::holds_alternative<ServiceEntry>(any)) {
    change_entry(std::get_if<ServiceEntry>(before), std::get_if<ServiceEntry>(after));
  } else if (std::holds_alternative<Service>(any)) {
    const auto* old = std::get_if<Service>(before);
    const auto* now = std::get_if<Service>(after);
    if (selects_pods(old)) drop(selecting_, old->metadata.ns, old->metadata.name);
    if (selects_pods(now)) selecting_[now->metadata.ns][now->metadata.name] = now;
  }
}

const WorldIndex::ByName<Service>& WorldIndex::selecting(const std::string& ns) const {
  return in(selecting_, ns);
}
const WorldIndex::ByName<ServiceEntry>& WorldIndex::entries(const std::string& ns) const {
  return in(entries_, ns);
}
const WorldIndex::ByKey<ServiceEntry>& WorldIndex::entries_of_host(const std::string& host) const {
  return in(by_host_, host);
}
const WorldIndex::ByKey<Pod>& WorldIndex::pods_at(const net::IpAddress& ip) const {
  return in(pods_, ip);
}
const Pod* WorldIndex::pod_at(const net::IpAddress& ip) const {
  const auto& pods = pods_at(ip);
  return pods.empty() ? nullptr : pods.rbegin()->second;
}
const WorldIndex::ByKey<EndpointSlice>& WorldIndex::slices_at(const net::IpAddress& ip) const {
  return in(slices_, ip);
}
const WorldIndex::ByKey<Pod>& WorldIndex::pods_on(const std::string& node) const {
  return in(by_node_, node);
}
std::vector<std::string> WorldIndex::users_of(const NamedAs& gateway) const {
  std::vector<std::string> namespaces;
  for (const auto& [ns, count] : in(waypoint_users_, gateway)) namespaces.push_back(ns);
  return namespaces;
}

}  // namespace mesh::control
