// What must be translated again because one object changed.

#include <algorithm>

#include "control/translate_services.h"
#include "control/translation.h"
#include "control/waypoints.h"

namespace mesh::control {
namespace {

using manifest::AuthorizationPolicy;
using manifest::EndpointSlice;
using manifest::Kind;
using manifest::Metadata;
using manifest::Object;
using manifest::ObjectKey;
using manifest::PeerAuthentication;
using manifest::Pod;
using manifest::Service;
using manifest::ServiceEntry;
using manifest::WorkloadEntry;

// Only the status is another, of a kind whose status nothing follows from. An object from a file
// has no generation.
bool is_status_only(const Object* before, const Object* after) {
  if (before == nullptr || after == nullptr) return false;
  const Metadata& a = manifest::metadata_of(*before);
  const Metadata& b = manifest::metadata_of(*after);
  return a.generation != 0 && a.generation == b.generation && a.uid == b.uid &&
         a.labels == b.labels && a.annotations == b.annotations;
}

bool same_labels(const Object* before, const Object* after) {
  return before != nullptr && after != nullptr &&
         manifest::metadata_of(*before).labels == manifest::metadata_of(*after).labels;
}

ObjectKey key_of_pod(const NamedAs& name) { return {Kind::kPod, name.first, name.second}; }

template <class T, class F>
void for_both(const std::shared_ptr<const Object>& before,
              const std::shared_ptr<const Object>& after, F&& visit) {
  if (before != nullptr) visit(std::get<T>(*before));
  if (after != nullptr) visit(std::get<T>(*after));
}

// What runs outside Kubernetes: few, and with labels in several places.
template <class Dirty>
void mark_outside(const World& world, const std::string* ns, Dirty& dirty) {
  for (const auto* entry :
       ns == nullptr ? world.all<WorkloadEntry>() : world.all_in<WorkloadEntry>(*ns)) {
    dirty.objects.insert({Kind::kWorkloadEntry, entry->metadata.ns, entry->metadata.name});
  }
  for (const auto* entry :
       ns == nullptr ? world.all<ServiceEntry>() : world.all_in<ServiceEntry>(*ns)) {
    dirty.objects.insert({Kind::kServiceEntry, entry->metadata.ns, entry->metadata.name});
  }
}

// Workloads are told of nothing in it.
bool is_for_waypoints(Kind kind) {
  switch (kind) {
    case Kind::kRequestAuthentication:
    case Kind::kHttpRoute:
    case Kind::kGrpcRoute:
    case Kind::kTcpRoute:
    case Kind::kTlsRoute:
    case Kind::kReferenceGrant:
    case Kind::kDestinationRule:
    case Kind::kVirtualService:
    case Kind::kTelemetry:
      return true;
    default:
      return false;
  }
}

}  // namespace

Translation::Dirty Translation::marks_of(const std::vector<Change>& changes) const {
  // Each of these looks through a namespace for what it selects.
  constexpr std::size_t kManyWide = 32;
  std::size_t wide = 0;
  for (const Change& change : changes) {
    const Kind kind = change.key.kind;
    wide += kind == Kind::kService || kind == Kind::kAuthorizationPolicy ||
            kind == Kind::kPeerAuthentication || kind == Kind::kNamespace;
  }
  Dirty dirty;
  const bool everything = last_ == nullptr || wide > kManyWide;
  for (const Change& change : changes) {
    if (everything) {
      mark_own(change, dirty);
    } else {
      mark(change, dirty);
    }
  }
  if (everything) mark_everything(dirty);
  expand(dirty);
  return dirty;
}

// What the object itself comes to, and came to.
void Translation::mark_own(const Change& change, Dirty& dirty) const {
  switch (change.key.kind) {
    case Kind::kPod:
    case Kind::kWorkloadEntry:
    case Kind::kEndpointSlice:
      dirty.objects.insert(change.key);
      return;
    case Kind::kServiceEntry:
      return mark_entry(change, dirty);
    case Kind::kService:
      return for_both<Service>(change.before, change.after, [&](const Service& service) {
        dirty.services.emplace(service.metadata.ns, service_host(service, settings_));
      });
    case Kind::kAuthorizationPolicy:
      dirty.policies.insert(change.key);
      return;
    default:
      return;
  }
}

void Translation::mark_everything(Dirty& dirty) const {
  dirty.all_namespaces = true;
  dirty.peers = true;
  dirty.selection = true;
  dirty.waypoints = true;
  for (const EndpointSlice* slice : world_->all<EndpointSlice>()) {
    dirty.objects.insert({Kind::kEndpointSlice, slice->metadata.ns, slice->metadata.name});
  }
  for (const AuthorizationPolicy* policy : world_->all<AuthorizationPolicy>()) {
    dirty.policies.insert({Kind::kAuthorizationPolicy, policy->metadata.ns, policy->metadata.name});
  }
}

void Translation::mark(const Change& change, Dirty& dirty) const {
  const Object* before = change.before.get();
  const Object* after = change.after.get();
  switch (change.key.kind) {
    case Kind::kPod:
      return mark_pod(change, dirty);
    case Kind::kNode:
      if (same_labels(before, after)) return;
      for (const auto& [name, pod] : index_.pods_on(change.key.name)) {
        dirty.objects.insert(key_of_pod(name));
      }
      return;
    case Kind::kNamespace:
      if (!same_labels(before, after)) mark_place(change.key.name, dirty);
      return;
    case Kind::kGateway: {
      if (is_status_only(before, after)) return;
      dirty.waypoints = true;
      for (const std::string& ns : index_.users_of({change.key.ns, change.key.name})) {
        mark_place(ns, dirty);
      }
      return;
    }
    case Kind::kService:
      return mark_service(change, dirty);
    case Kind::kServiceEntry:
      return mark_entry(change, dirty);
    case Kind::kWorkloadEntry:
      dirty.objects.insert(change.key);
      return;
    case Kind::kEndpointSlice:
      return mark_slice(change, dirty);
    case Kind::kAuthorizationPolicy:
      return mark_policy(change, dirty);
    case Kind::kPeerAuthentication:
      return mark_peer(change, dirty);
    default:
      dirty.waypoints |= is_for_waypoints(change.key.kind) && !is_status_only(before, after);
  }
}

// Everything in a namespace.
void Translation::mark_place(const std::string& ns, Dirty& dirty) const {
  dirty.namespaces.insert(ns);
  mark_targeted(ns, dirty);
  for (const EndpointSlice* slice : world_->all_in<EndpointSlice>(ns)) {
    for (const net::IpAddress& ip : untargeted(*slice)) mark_address(ip, dirty);
  }
}

// Policies of the namespace that are about its Services: whether those have a waypoint may be
// another answer now.
void Translation::mark_targeted(const std::string& ns, Dirty& dirty) const {
  for (const AuthorizationPolicy* policy : world_->all_in<AuthorizationPolicy>(ns)) {
    if (policy->targets.empty()) continue;
    dirty.policies.insert({Kind::kAuthorizationPolicy, ns, policy->metadata.name});
    dirty.selection = true;
  }
}

// The pods of which an address is, and the slices that have it.
void Translation::mark_address(const net::IpAddress& ip, Dirty& dirty) const {
  const auto& slices = index_.slices_at(ip);
  for (const auto& [name, slice] : slices) {
    dirty.objects.insert({Kind::kEndpointSlice, name.first, name.second});
  }
  for (const auto& [name, pod] : index_.pods_at(ip)) dirty.objects.insert(key_of_pod(name));
}

void Translation::mark_pod(const Change& change, Dirty& dirty) const {
  dirty.objects.insert(change.key);
  for_both<Pod>(change.before, change.after, [&](const Pod& pod) {
    for (const net::IpAddress& ip : pod.ips) {
      if (!index_.slices_at(ip).empty()) mark_address(ip, dirty);
    }
  });
}

void Translation::mark_slice(const Change& change, Dirty& dirty) const {
  for_both<EndpointSlice>(change.before, change.after, [&](const EndpointSlice& slice) {
    for (const net::IpAddress& ip : untargeted(slice)) {
      dirty.objects.insert(change.key);
      for (const auto& [name, pod] : index_.pods_at(ip)) dirty.objects.insert(key_of_pod(name));
    }
  });
}

void Translation::mark_selected(const std::string* ns, const manifest::Labels& selector,
                                Dirty& dirty) const {
  for (const Pod* pod : ns == nullptr ? world_->all<Pod>() : world_->all_in<Pod>(*ns)) {
    if (selects(selector, pod->metadata.labels)) {
      dirty.objects.insert({Kind::kPod, pod->metadata.ns, pod->metadata.name});
    }
  }
  mark_outside(*world_, ns, dirty);
}

// What is behind a Service: what it selects, and what hand-written slices name.
void Translation::mark_backing(const Service& service, Dirty& dirty) const {
  const std::string& ns = service.metadata.ns;
  if (!service.selector.empty()) mark_selected(&ns, service.selector, dirty);
  // A ServiceEntry may have the very host.
  mark_outside(*world_, &ns, dirty);
  for (const EndpointSlice* slice : world_->all_in<EndpointSlice>(ns)) {
    if (slice->metadata.label("kubernetes.io/service-name") != service.metadata.name) continue;
    for (const net::IpAddress& ip : untargeted(*slice)) mark_address(ip, dirty);
  }
}

void Translation::mark_service(const Change& change, Dirty& dirty) const {
  for_both<Service>(change.before, change.after, [&](const Service& service) {
    const std::string host = service_host(service, settings_);
    dirty.services.emplace(service.metadata.ns, host);
    for (const auto& [name, entry] : index_.entries_of_host(host)) {
      dirty.services.emplace(name.first, host);
    }
    mark_backing(service, dirty);
  });
  mark_targeted(change.key.ns, dirty);
}

void Translation::mark_entry(const Change& change, Dirty& dirty) const {
  dirty.objects.insert(change.key);
  for_both<ServiceEntry>(change.before, change.after, [&](const ServiceEntry& entry) {
    for (const std::string& host : entry.hosts) {
      dirty.services.emplace(entry.metadata.ns, host);
      for (const auto& [name, other] : index_.entries_of_host(host)) {
        dirty.services.emplace(name.first, host);
      }
    }
    if (!entry.workload_selector) return;
    for (const WorkloadEntry* workload : world_->all_in<WorkloadEntry>(entry.metadata.ns)) {
      dirty.objects.insert({Kind::kWorkloadEntry, entry.metadata.ns, workload->metadata.name});
    }
  });
}

void Translation::mark_policy(const Change& change, Dirty& dirty) const {
  if (is_status_only(change.before.get(), change.after.get())) return;
  dirty.selection = true;
  dirty.policies.insert(change.key);
  for_both<AuthorizationPolicy>(change.before, change.after, [&](const auto& policy) {
    const std::string& ns = policy.metadata.ns;
    dirty.waypoints |= !policy.targets.empty();
    if (policy.selector && !policy.selector->empty()) {
      mark_selected(ns == settings_.root_namespace ? nullptr : &ns, *policy.selector, dirty);
    }
    for (const manifest::TargetRef& target : policy.targets) {
      const auto* service =
          target.kind == "Service" ? world_->find<Service>(ns, target.name) : nullptr;
      if (service != nullptr) mark_backing(*service, dirty);
    }
  });
}

void Translation::mark_peer(const Change& change, Dirty& dirty) const {
  if (is_status_only(change.before.get(), change.after.get())) return;
  dirty.selection = true;
  dirty.peers = true;
  for_both<PeerAuthentication>(change.before, change.after, [&](const auto& peer) {
    const std::string& ns = peer.metadata.ns;
    if (peer.selector && !peer.selector->empty()) {
      mark_selected(&ns, *peer.selector, dirty);
    } else if (ns == settings_.root_namespace) {
      dirty.all_namespaces = true;
    } else {
      dirty.namespaces.insert(ns);
    }
  });
}

// Namespaces become what is in them.
void Translation::expand(Dirty& dirty) const {
  const auto is_in = [&](const std::string& ns) {
    return dirty.all_namespaces || dirty.namespaces.contains(ns);
  };
  if (!dirty.all_namespaces && dirty.namespaces.empty()) return;
  const auto add = [&](Kind kind, const Metadata& metadata) {
    dirty.objects.insert({kind, metadata.ns, metadata.name});
  };
  const auto add_all = [&]<class T>(Kind kind, const std::vector<const T*>& all) {
    for (const T* object : all) {
      if (is_in(object->metadata.ns)) add(kind, object->metadata);
    }
  };
  const auto each = [&]<class T>(Kind kind) {
    if (dirty.all_namespaces) return add_all(kind, world_->all<T>());
    for (const std::string& ns : dirty.namespaces) add_all(kind, world_->all_in<T>(ns));
  };
  each.template operator()<Pod>(Kind::kPod);
  each.template operator()<WorkloadEntry>(Kind::kWorkloadEntry);
  each.template operator()<ServiceEntry>(Kind::kServiceEntry);
  for (const Service* service : world_->all<Service>()) {
    if (is_in(service->metadata.ns)) {
      dirty.services.emplace(service->metadata.ns, service_host(*service, settings_));
    }
  }
  for (const ServiceEntry* entry : world_->all<ServiceEntry>()) {
    if (!is_in(entry->metadata.ns)) continue;
    for (const std::string& host : entry->hosts) dirty.services.emplace(entry->metadata.ns, host);
  }
}

}  // namespace mesh::control
