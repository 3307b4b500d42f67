#include "mesh/workload/directory_builder.h"

#include <algorithm>
#include <utility>

namespace mesh::workload {
namespace {

// Of several workloads at one address the one that is most surely what runs there: a Pod is not
// made by hand, and a workload of the mesh says more than one outside of it.
bool is_better(const WorkloadPtr& a, const WorkloadPtr& b) {
  const auto rank = [](const Workload& one) {
    return (one.uid.find("//Pod/") != one.uid.npos ? 2 : 0) +
           (one.tunnel == TunnelProtocol::kHbone ? 1 : 0);
  };
  const int rank_a = rank(*a);
  const int rank_b = rank(*b);
  return rank_a != rank_b ? rank_a > rank_b : a->uid < b->uid;
}

bool is_before(const ServicePtr& a, const ServicePtr& b) {
  return a->key.ns != b->key.ns ? a->key.ns < b->key.ns : a->key.hostname < b->key.hostname;
}

bool refused_before(const RefusedPtr& a, const RefusedPtr& b) { return a->resource < b->resource; }

// The lists behind a key are short (they are one long, but for clashes), so they are copied.
template <class Map, class Key, class Item, class Less>
void add_to_list(Map& map, const Key& key, const Item& item, Less less) {
  std::vector<Item> items;
  if (const std::vector<Item>* last = map.find(key); last != nullptr) items = *last;
  items.insert(std::ranges::upper_bound(items, item, less), item);
  map.set(key, std::move(items));
}

// False if it was not there.
template <class Map, class Key, class Item>
bool remove_from_list(Map& map, const Key& key, const Item& item) {
  const std::vector<Item>* last = map.find(key);
  if (last == nullptr) return false;
  std::vector<Item> items = *last;
  if (std::erase(items, item) == 0) return false;
  if (items.empty()) {
    map.erase(key);
  } else {
    map.set(key, std::move(items));
  }
  return true;
}

template <class Lengths>
void count_block(std::shared_ptr<const Lengths>& lengths, const net::Cidr& block, int change) {
  auto next = std::make_shared<Lengths>(*lengths);
  std::vector<std::uint32_t>& counts = block.base().is_v4() ? next->v4 : next->v6;
  MESH_CHECK(change > 0 || counts[block.length()] > 0);
  counts[block.length()] += static_cast<std::uint32_t>(change);
  lengths = std::move(next);
}

ServiceKeyView key_view(const ServiceKey& key) { return {key.ns, key.hostname}; }

Vip block_of(const NetworkAddress& address) {
  const auto block = net::Cidr::make(address.ip, address.ip.is_v4() ? 32 : 128);
  return {.network = address.network, .block = *block};
}

// The blocks of a refusal, each once.
std::vector<Vip> blocks_of(const Refused& refused) {
  std::vector<Vip> blocks;
  const auto add = [&](Vip block) {
    if (std::ranges::find(blocks, block) == blocks.end()) blocks.push_back(std::move(block));
  };
  for (const Vip& vip : refused.vips) add(vip);
  for (const NetworkAddress& address : refused.addresses) add(block_of(address));
  return blocks;
}

template <class T>
std::vector<T> each_once(std::vector<T> values) {
  std::vector<T> result;
  for (T& value : values) {
    if (std::ranges::find(result, value) == result.end()) result.push_back(std::move(value));
  }
  return result;
}

}  // namespace

DirectoryBuilder::DirectoryBuilder(const DirectoryPtr& last) {
  if (last != nullptr) next_ = *last;
  ++next_.version_;
}

DirectoryPtr DirectoryBuilder::build() && {
  return std::make_shared<const Directory>(std::move(next_));
}

void DirectoryBuilder::apply(const Delta& delta) {
  for (const std::string& resource : delta.removed) remove(resource);
  for (const RefusedPtr& refused : delta.rejected) reject(refused);
  for (const WorkloadPtr& workload : delta.workloads) set(workload);
  for (const ServicePtr& service : delta.services) set(service);
  set_policies(delta.policies, delta.removed_policies);
  complete(delta);
}

void DirectoryBuilder::set_policies(std::span<const policy::PolicyPtr> changed,
                                    std::span<const std::string> removed) {
  if (changed.empty() && removed.empty()) return;
  next_.policies_ = next_.policies_.with(changed, removed);
}

void DirectoryBuilder::complete(const Delta& delta) {
  next_.addresses_complete_ = next_.addresses_complete_ || delta.addresses_complete;
  next_.policies_complete_ = next_.policies_complete_ || delta.policies_complete;
}

void DirectoryBuilder::set(WorkloadPtr workload) {
  drop_refusal(workload->uid);
  if (const WorkloadPtr* last = next_.workloads_.find(workload->uid); last != nullptr) {
    if (**last == *workload) return;
    drop(WorkloadPtr(*last));
  }
  add(workload);
}

void DirectoryBuilder::set(ServicePtr service) {
  drop_refusal(service->key.to_string());
  if (const ServicePtr* last = next_.services_.find(service->key); last != nullptr) {
    if (**last == *service) return;
    drop(ServicePtr(*last));
  }
  add(service);
}

void DirectoryBuilder::remove(std::string_view resource) {
  drop_refusal(resource);
  if (const WorkloadPtr* workload = next_.workloads_.find(resource); workload != nullptr) {
    drop(WorkloadPtr(*workload));
    return;
  }
  const std::optional<ServiceKey> key = ServiceKey::parse(resource);
  if (!key) return;
  if (const ServicePtr* service = next_.services_.find(*key); service != nullptr) {
    drop(ServicePtr(*service));
  }
}

void DirectoryBuilder::reject(RefusedPtr refused) {
  drop_refusal(refused->resource);
  Refused left = *refused;
  bool has_good_version = false;
  if (const WorkloadPtr* good = next_.workloads_.find(left.resource); good != nullptr) {
    has_good_version = true;
    std::erase_if(left.addresses, [&](const NetworkAddress& address) {
      return address.network == (*good)->network && (*good)->has_address(address.ip);
    });
  } else if (const auto key = ServiceKey::parse(left.resource)) {
    if (const ServicePtr* service = next_.services_.find(*key); service != nullptr) {
      has_good_version = true;
      std::erase_if(left.vips, [&](const Vip& vip) {
        return std::ranges::find((*service)->vips, vip) != (*service)->vips.end();
      });
    }
  }
  if (has_good_version) {
    next_.rejected_updates_.set(left.resource, left.problem);
    // What the rejected version alone claims must not pass for off-mesh.
    if (left.addresses.empty() && left.vips.empty()) return;
  }
  auto kept = std::make_shared<const Refused>(std::move(left));
  for (const Vip& block : blocks_of(*kept)) {
    add_to_list(next_.refused_at_, block, RefusedPtr(kept), refused_before);
    count_block(next_.refused_lengths_, block.block, +1);
  }
  next_.refused_.set(kept->resource, kept);
}

void DirectoryBuilder::drop_refusal(std::string_view resource) {
  next_.rejected_updates_.erase(resource);
  const RefusedPtr* found = next_.refused_.find(resource);
  if (found == nullptr) return;
  const RefusedPtr refused = *found;
  for (const Vip& block : blocks_of(*refused)) {
    if (remove_from_list(next_.refused_at_, block, refused)) {
      count_block(next_.refused_lengths_, block.block, -1);
    }
  }
  next_.refused_.erase(resource);
}

void DirectoryBuilder::add(const WorkloadPtr& workload) {
  next_.workloads_.set(workload->uid, workload);
  add_to_list(next_.by_name_, ServiceKey{workload->ns, workload->name}, workload, is_better);
  if (workload->network_mode != NetworkMode::kHostNetwork) {
    for (const net::IpAddress& ip : each_once(workload->addresses)) {
      add_to_list(next_.by_address_, NetworkAddress{workload->network, ip}, workload, is_better);
    }
  }
  for (std::uint32_t i = 0; i < workload->services.size(); ++i) {
    const ServiceKey& service = workload->services[i].service;
    EndpointSet::Members members;
    if (const EndpointSet* last = next_.endpoints(key_view(service))) members = last->members();
    members.set(workload->uid, Endpoint{.workload = workload, .membership_index = i});
    next_.endpoints_.set(service, std::make_shared<const EndpointSet>(std::move(members)));
  }
}

void DirectoryBuilder::drop(const WorkloadPtr& workload) {
  remove_from_list(next_.by_name_, ServiceKey{workload->ns, workload->name}, workload);
  for (const net::IpAddress& ip : each_once(workload->addresses)) {
    remove_from_list(next_.by_address_, NetworkAddress{workload->network, ip}, workload);
  }
  for (const Membership& membership : workload->services) {
    const EndpointSet* last = next_.endpoints(key_view(membership.service));
    if (last == nullptr) continue;
    EndpointSet::Members members = last->members();
    members.erase(workload->uid);
    if (members.empty()) {
      next_.endpoints_.erase(membership.service);
    } else {
      next_.endpoints_.set(membership.service,
                           std::make_shared<const EndpointSet>(std::move(members)));
    }
  }
  next_.workloads_.erase(workload->uid);
}

void DirectoryBuilder::add(const ServicePtr& service) {
  next_.services_.set(service->key, service);
  add_to_list(next_.by_hostname_, service->key.hostname, service, is_before);
  for (const Vip& vip : each_once(service->vips)) {
    add_to_list(next_.by_vip_, vip, service, is_before);
    count_block(next_.vip_lengths_, vip.block, +1);
  }
}

void DirectoryBuilder::drop(const ServicePtr& service) {
  remove_from_list(next_.by_hostname_, service->key.hostname, service);
  for (const Vip& vip : each_once(service->vips)) {
    if (remove_from_list(next_.by_vip_, vip, service)) {
      count_block(next_.vip_lengths_, vip.block, -1);
    }
  }
  next_.services_.erase(service->key);
}

}  // namespace mesh::workload
