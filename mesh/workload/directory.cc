#include "mesh/workload/directory.h"

#include <algorithm>

namespace mesh::workload {
namespace {

std::size_t combined(std::size_t a, std::size_t b) {
  return a ^ (b + 0x9e3779b97f4a7c15ULL + (a << 6) + (a >> 2));
}

const std::vector<WorkloadPtr> kNoWorkloads;
const std::vector<ServicePtr> kNoServices;

}  // namespace

std::size_t Directory::Hash::operator()(const AddressView& key) const noexcept {
  return combined(std::hash<std::string_view>{}(key.network), std::hash<net::IpAddress>{}(key.ip));
}

std::size_t Directory::Hash::operator()(const BlockView& key) const noexcept {
  return combined(key.block.length(), (*this)(AddressView{key.network, key.block.base()}));
}

std::size_t Directory::Hash::operator()(const ServiceKeyView& key) const noexcept {
  const std::hash<std::string_view> hash;
  return combined(hash(key.ns), hash(key.hostname));
}

const Workload* Directory::find_workload(std::string_view uid) const {
  const WorkloadPtr* found = workloads_.find(uid);
  return found != nullptr ? found->get() : nullptr;
}

WorkloadPtr Directory::find_workload_ptr(std::string_view uid) const {
  const WorkloadPtr* found = workloads_.find(uid);
  return found != nullptr ? *found : nullptr;
}

const Service* Directory::find_service(std::string_view ns, std::string_view hostname) const {
  const ServicePtr* found = services_.find(ServiceKeyView{ns, hostname});
  return found != nullptr ? found->get() : nullptr;
}

const Refused* Directory::find_refused(std::string_view resource) const {
  const RefusedPtr* found = refused_.find(resource);
  return found != nullptr ? found->get() : nullptr;
}

std::span<const ServicePtr> Directory::services_of_hostname(std::string_view hostname) const {
  const Services* found = by_hostname_.find(hostname);
  return found != nullptr ? *found : kNoServices;
}

std::span<const WorkloadPtr> Directory::workloads_named(std::string_view ns,
                                                        std::string_view name) const {
  const Workloads* found = by_name_.find(ServiceKeyView{ns, name});
  return found != nullptr ? *found : kNoWorkloads;
}

const Workload* Directory::find_pod(std::string_view ns, std::string_view name,
                                    std::string_view service_account) const {
  for (const WorkloadPtr& one : workloads_named(ns, name)) {
    if (one->service_account == service_account) return one.get();
  }
  return nullptr;
}

const Workload* Directory::find_workload_at(const AddressView& at) const {
  const Workloads* found = by_address_.find(at);
  return found != nullptr ? found->front().get() : nullptr;
}

namespace {

// Calls visit(block) for each block that could hold `ip` and of whose length there is one, the
// longest first, until it returns true.
template <class F>
void for_each_block_holding(const net::IpAddress& ip, const auto& lengths, F&& visit) {
  const std::vector<std::uint32_t>& counts = ip.is_v4() ? lengths.v4 : lengths.v6;
  for (std::size_t length = counts.size(); length-- > 0;) {
    if (counts[length] == 0) continue;
    if (visit(*net::Cidr::make(ip, static_cast<unsigned>(length)))) return;
  }
}

// Lower is better.
enum class Fit : std::uint8_t { kOwnNamespace, kPreferred, kCanonical, kAny, kNotVisible };

Fit fit_of(const Service& service, const Asker& asker) {
  if (service.key.ns == asker.ns) return Fit::kOwnNamespace;
  if (service.visibility == Visibility::kNamespace) return Fit::kNotVisible;
  if (!asker.preferred_ns.empty() && service.key.ns == asker.preferred_ns) return Fit::kPreferred;
  return service.canonical ? Fit::kCanonical : Fit::kAny;
}

}  // namespace

Directory::ServiceAt Directory::service_at(const AddressView& at, const Asker& asker) const {
  ServiceAt best;
  for_each_block_holding(at.ip, *vip_lengths_, [&](const net::Cidr& block) {
    const Services* services = by_vip_.find(BlockView{at.network, block});
    if (services == nullptr) return false;
    Fit best_fit = Fit::kNotVisible;
    for (const ServicePtr& one : *services) {
      const Fit fit = fit_of(*one, asker);
      if (fit >= best_fit) continue;
      best_fit = fit;
      best = {.service = one.get(), .length = block.length()};
    }
    return best.service != nullptr;
  });
  return best;
}

const Service* Directory::find_service_at(const AddressView& at, const Asker& asker) const {
  return service_at(at, asker).service;
}

Found Directory::find(const AddressView& at, const Asker& asker) const {
  const ServiceAt service = service_at(at, asker);
  const Workload* workload = find_workload_at(at);
  unsigned known = service.length;
  if (workload != nullptr) known = at.ip.is_v4() ? 32 : 128;

  const Refused* refused = nullptr;
  if (!refused_at_.empty()) {
    for_each_block_holding(at.ip, *refused_lengths_, [&](const net::Cidr& block) {
      const std::vector<RefusedPtr>* here = refused_at_.find(BlockView{at.network, block});
      if (here == nullptr) return false;
      if (block.length() >= known) refused = here->front().get();
      return true;
    });
  }
  if (refused != nullptr) return {.what = Found::What::kRefused, .refused = refused};
  if (service.service != nullptr) {
    return {.what = Found::What::kService, .service = service.service};
  }
  if (workload != nullptr) return {.what = Found::What::kWorkload, .workload = workload};
  return {};
}

std::size_t Directory::endpoint_count(const ServiceKeyView& service) const {
  const EndpointSet* set = endpoints(service);
  return set != nullptr ? set->members().size() : 0;
}

const EndpointSet* Directory::endpoints(const ServiceKeyView& service) const {
  const EndpointSetPtr* found = endpoints_.find(service);
  return found != nullptr ? found->get() : nullptr;
}

}  // namespace mesh::workload
