#include "control/translation.h"

#include <algorithm>
#include <utility>

#include "authorization.pb.h"
#include "control/translate_services.h"
#include "workload.pb.h"

namespace mesh::control {
namespace {

namespace wire = istio::workload;
using manifest::Kind;
using manifest::ObjectKey;

constexpr std::size_t index_of(xds::ResourceType type) { return static_cast<std::size_t>(type); }

std::uint8_t reach_of(const istio::security::Authorization& policy) {
  switch (policy.scope()) {
    case istio::security::GLOBAL:
      return 2;
    case istio::security::NAMESPACE:
      return 1;
    default:
      return 0;
  }
}

// Calls visit(asked) for each name beside its own that the resource answers to.
template <class F>
void for_each_alias(const wire::Address& address, F&& visit) {
  const auto key = [](const std::string& network, const std::string& bytes) {
    const auto ip = net::IpAddress::from_bytes(bytes);
    return network + "/" + (ip ? ip->to_string() : "");
  };
  if (address.has_workload()) {
    const wire::Workload& workload = address.workload();
    for (const std::string& bytes : workload.addresses()) visit(key(workload.network(), bytes));
    for (const auto& [service, ports] : workload.services()) visit(service);
  } else {
    for (const auto& at : address.service().addresses()) visit(key(at.network(), at.address()));
  }
}

// The node on which it runs as an enrolled pod; "" when it is something else.
std::string enrolled_on(const wire::Address& address) {
  const wire::Workload& workload = address.workload();
  const bool enrolled = workload.tunnel_protocol() == wire::HBONE && !workload.native_tunnel() &&
                        workload.uid().find("//Pod/") != std::string::npos;
  return enrolled ? workload.node() : std::string();
}

}  // namespace

Translation::Translation(Settings settings, std::uint64_t first_version)
    : settings_(std::move(settings)), first_version_(first_version) {}

std::shared_ptr<const Snapshot> Translation::next(std::shared_ptr<const World> world) {
  auto snapshot =
      last_ == nullptr ? std::make_shared<Snapshot>() : std::make_shared<Snapshot>(*last_);
  snapshot->deltas = std::make_shared<DeltaCache>();
  snapshot->world = world;
  changed_ = last_ == nullptr;
  const bool same_mesh = world_ == nullptr || world_->has_mesh_of(*world);
  const std::vector<Change> changes = take(std::move(world));
  for (const Change& change : changes) {
    if (change.key.kind == Kind::kPod) count_account(change);
  }
  Dirty dirty = marks_of(changes);
  if (dirty.selection) {
    selection_.emplace(*world_, settings_);
    selected_from_ = world_;
  }
  for (const NamedAs& service : dirty.services) make_service(service, *snapshot);
  for (const ObjectKey& key : dirty.objects) make_object(key, *snapshot);
  make_policies(dirty, *snapshot);
  for (const std::string& node : touched_nodes_) {
    const auto pods = nodes_.find(node);
    if (pods->second.accounts.empty() && pods->second.enrolled == 0) {
      nodes_.erase(pods);
      snapshot->nodes.erase(node);
    } else {
      snapshot->nodes.set(node, std::make_shared<const NodePods>(pods->second));
    }
  }
  touched_nodes_.clear();
  changed_ |= dirty.waypoints || !same_mesh;
  snapshot->version = last_ == nullptr ? first_version_ : last_->version + (changed_ ? 1 : 0);
  last_ = std::move(snapshot);
  return last_;
}

// What is different in it; the index follows.
std::vector<Translation::Change> Translation::take(std::shared_ptr<const World> world) {
  std::vector<Change> changes;
  const Objects nothing;
  Objects::diff(world_ == nullptr ? nothing : world_->objects(), world->objects(),
                [&](const ObjectKey& key, const auto* before, const auto* after) {
                  changes.push_back({key, before == nullptr ? nullptr : *before,
                                     after == nullptr ? nullptr : *after});
                });
  for (const Change& change : changes) index_.change(change.before.get(), change.after.get());
  world_ = std::move(world);
  return changes;
}

// ---- addresses ----------------------------------------------------------------------------------

void Translation::put_address(const std::string& name, const wire::Address* address,
                              Snapshot& into) {
  Resources& resources = into.resources[index_of(xds::ResourceType::kAddress)];
  const auto there = resources.find(name);
  std::string bytes = address == nullptr ? std::string() : bytes_of(*address);
  if (there == resources.end() && address == nullptr) return;
  if (there != resources.end()) {
    if (address != nullptr && there->second->bytes == bytes) return;
    wire::Address old;
    if (old.ParseFromString(there->second->bytes)) {
      for_each_alias(old, [&](const std::string& asked) { into.aliases.erase(asked, name); });
      count_enrolled(enrolled_on(old), false);
    }
  }
  changed_ = true;
  if (address == nullptr) {
    resources.erase(name);
    return;
  }
  for_each_alias(*address, [&](const std::string& asked) { into.aliases.emplace(asked, name); });
  count_enrolled(enrolled_on(*address), true);
  std::string version = version_of(bytes);
  resources.set(name, std::make_shared<const Resource>(
                          Resource{name, std::move(version), std::move(bytes), 0}));
}

void Translation::make_service(const NamedAs& service, Snapshot& into) {
  ++work_.services;
  const auto& [ns, host] = service;
  Addresses made;
  translate_service(*world_, settings_, index_, ns, host, made);
  const std::string name = ns + "/" + host;
  const auto found = made.find(name);
  put_address(name, found == made.end() ? nullptr : &found->second, into);
}

void Translation::make_object(const ObjectKey& key, Snapshot& into) {
  ++work_.objects;
  const WorkloadTranslator translator(*world_, settings_, index_, *selection_);
  const auto object = world_->objects().find(key);
  Addresses made;
  if (object != world_->objects().end()) {
    if (const auto* pod = std::get_if<manifest::Pod>(object->second.get())) {
      translator.add_pod(*pod, made);
    } else if (const auto* entry = std::get_if<manifest::WorkloadEntry>(object->second.get())) {
      translator.add_entry(*entry, made);
    } else if (const auto* service = std::get_if<manifest::ServiceEntry>(object->second.get())) {
      translator.add_endpoints(*service, made);
    } else if (const auto* slice = std::get_if<manifest::EndpointSlice>(object->second.get())) {
      translator.add_slice(*slice, made);
    }
  }
  if (key.kind == Kind::kPod || key.kind == Kind::kWorkloadEntry) {
    const std::string name = key.kind == Kind::kPod ? pod_uid(settings_, key.ns, key.name)
                                                    : entry_uid(settings_, key.ns, key.name);
    return put_address(name, made.empty() ? nullptr : &made.begin()->second, into);
  }
  std::vector<std::string> names;
  for (const auto& [name, address] : made) {
    names.push_back(name);
    put_address(name, &address, into);
  }
  if (const auto before = made_.find(key); before != made_.end()) {
    for (const std::string& name : before->second) {
      if (!made.contains(name)) put_address(name, nullptr, into);
    }
  }
  if (names.empty()) {
    made_.erase(key);
  } else {
    made_[key] = std::move(names);
  }
}

// ---- policies -----------------------------------------------------------------------------------

void Translation::put_policy(const std::string& name, const istio::security::Authorization* policy,
                             Snapshot& into) {
  Resources& resources = into.resources[index_of(xds::ResourceType::kAuthorization)];
  if (policy == nullptr) {
    changed_ |= resources.erase(name);
    return;
  }
  std::string bytes = bytes_of(*policy);
  const auto there = resources.find(name);
  if (there != resources.end() && there->second->bytes == bytes) return;
  changed_ = true;
  std::string version = version_of(bytes);
  resources.set(name, std::make_shared<const Resource>(
                          Resource{name, std::move(version), std::move(bytes), reach_of(*policy)}));
}

void Translation::make_policies(const Dirty& dirty, Snapshot& into) {
  Authorizations peers;
  if (dirty.peers) {
    translate_peers(*world_, settings_, peers);
    // No policy has such a name: names of objects have no underscores.
    for (const std::string& name : made_of_peers_) {
      if (!peers.contains(name)) put_policy(name, nullptr, into);
    }
    made_of_peers_.clear();
    for (const auto& [name, policy] : peers) {
      made_of_peers_.insert(name);
      put_policy(name, &policy, into);
    }
  }
  for (const ObjectKey& key : dirty.policies) {
    ++work_.policies;
    Authorizations made;
    std::vector<PolicyNote> notes;
    const auto* policy = world_->find<manifest::AuthorizationPolicy>(key.ns, key.name);
    if (policy != nullptr) translate_policy(*world_, settings_, *policy, made, notes);
    put_policy(key.ns + "/" + key.name, made.empty() ? nullptr : &made.begin()->second, into);
    if (notes.empty()) {
      notes_.erase(key);
    } else {
      notes_[key] = std::move(notes);
    }
  }
  if (dirty.policies.empty()) return;
  into.notes.clear();
  for (const auto& [key, notes] : notes_) {
    into.notes.insert(into.notes.end(), notes.begin(), notes.end());
  }
}

// ---- nodes --------------------------------------------------------------------------------------

void Translation::count_account(const Change& change) {
  const auto count = [&](const manifest::Object* object, int by) {
    if (object == nullptr) return;
    const auto& pod = std::get<manifest::Pod>(*object);
    if (has_ended(pod) || pod.node_name.empty()) return;
    touched_nodes_.insert(pod.node_name);
    auto& accounts = nodes_[pod.node_name].accounts;
    const auto account = accounts.emplace(pod.metadata.ns + "/" + pod.service_account, 0).first;
    account->second += static_cast<unsigned>(by);
    if (account->second == 0) accounts.erase(account);
  };
  // Not below nothing on the way.
  count(change.after.get(), 1);
  count(change.before.get(), -1);
}

void Translation::count_enrolled(const std::string& node, bool enrolled) {
  if (node.empty()) return;
  touched_nodes_.insert(node);
  nodes_[node].enrolled += enrolled ? 1u : ~0u;
}

}  // namespace mesh::control
