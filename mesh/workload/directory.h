#pragma once
// A Directory: everything the control plane said, as of one moment. Immutable and numbered; the
// next one shares with it whatever did not change (see directory_builder.h).
//
// Threads: any number may read one. Everything returned is borrowed from the Directory, unless it
// is a shared pointer.
// Cost: a lookup is a hash and a few loads; nothing here allocates.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mesh/base/persistent_map.h"
#include "mesh/policy/catalog.h"
#include "mesh/workload/endpoint_set.h"
#include "mesh/workload/workload.h"

namespace mesh::workload {

// Lookups by parts, without building a key.
struct AddressView {
  std::string_view network;
  net::IpAddress ip;
};
struct BlockView {
  std::string_view network;
  net::Cidr block;
};
struct ServiceKeyView {
  std::string_view ns;
  std::string_view hostname;
};

// What is at an address.
struct Found {
  enum class What : std::uint8_t {
    kAbsent,   // nothing that we know of: off the mesh, if the Directory is complete
    kRefused,  // a resource that was not understood: refuse, with kRejectedResource
    kService,
    kWorkload,
  };
  What what = What::kAbsent;
  const Service* service = nullptr;
  const Workload* workload = nullptr;
  const Refused* refused = nullptr;
};

// Who asks, where that matters to the answer.
struct Asker {
  std::string_view ns = {};
  std::string_view preferred_ns = {};  // PREFERED_SERVICE_NAMESPACE
};

class Directory {
 public:
  // 0 is the empty one that a program starts with; each next one has a higher number.
  std::uint64_t version() const { return version_; }
  // True once the control plane has said all it had to say of addresses, and of policies. Until
  // then an absent address means nothing, and no connection may be decided.
  bool complete() const { return addresses_complete_ && policies_complete_; }
  bool addresses_complete() const { return addresses_complete_; }
  bool policies_complete() const { return policies_complete_; }

  const Workload* find_workload(std::string_view uid) const;
  WorkloadPtr find_workload_ptr(std::string_view uid) const;
  const Service* find_service(std::string_view ns, std::string_view hostname) const;
  // Not understood, and never had a good version: by workload uid or "namespace/hostname".
  const Refused* find_refused(std::string_view resource) const;
  // All services of this exact hostname, in any namespace, ordered by namespace.
  std::span<const ServicePtr> services_of_hostname(std::string_view hostname) const;
  // The workloads of this namespace and name (a Pod and a WorkloadEntry may share one).
  std::span<const WorkloadPtr> workloads_named(std::string_view ns, std::string_view name) const;
  // The workload that a node agent speaks of: kind Pod preferred, and of this service account.
  const Workload* find_pod(std::string_view ns, std::string_view name,
                           std::string_view service_account) const;

  // The workload at an address; of several a Pod before others, then HBONE before plaintext, then
  // the least uid. Host-network workloads share their node's address and are never found by it.
  const Workload* find_workload_at(const AddressView& at) const;
  // The service that a virtual address means to `asker`: among the services of the longest block
  // that holds `at` and that `asker` may see, one of its own namespace, else of preferred_ns, else
  // a canonical one, else the first by key.
  const Service* find_service_at(const AddressView& at, const Asker& asker) const;
  // What a connection to `at` means. The longest block that holds it counts; of equally long ones a
  // refusal before a service before a workload (which is a block of one address).
  Found find(const AddressView& at, const Asker& asker) const;

  // The members of a service, healthy or not, in no particular order; also of a service that is
  // not known yet. visit(const Endpoint&).
  template <class F>
  void for_each_endpoint(const ServiceKeyView& service, F&& visit) const;
  std::size_t endpoint_count(const ServiceKeyView& service) const;
  const EndpointSet* endpoints(const ServiceKeyView& service) const;  // null: none

  // The policies for connections to `workload`.
  policy::Selection policies_for(const Workload& workload) const {
    return policies_.select(workload.ns, workload.authorization_policies);
  }
  const policy::Catalog& policies() const { return policies_; }

  std::size_t workload_count() const { return workloads_.size(); }
  std::size_t service_count() const { return services_.size(); }
  // Problems that stand: refused resources, and good ones whose last update was rejected.
  std::size_t rejected_count() const { return refused_.size() + rejected_updates_.size(); }

  // For dumps. In no particular order.
  template <class F>  // visit(const WorkloadPtr&)
  void for_each_workload(F&& visit) const {
    workloads_.for_each([&](const std::string&, const WorkloadPtr& one) { visit(one); });
  }
  template <class F>  // visit(const ServicePtr&)
  void for_each_service(F&& visit) const {
    services_.for_each([&](const ServiceKey&, const ServicePtr& one) { visit(one); });
  }
  template <class F>  // visit(const Refused&)
  void for_each_refused(F&& visit) const {
    refused_.for_each([&](const std::string&, const RefusedPtr& one) { visit(*one); });
  }
  template <class F>  // visit(name, problem): the last good version of `name` is in force
  void for_each_rejected_update(F&& visit) const {
    rejected_updates_.for_each(visit);
  }
  // visit(const ServiceKey&, count): members of services that have not arrived.
  template <class F>
  void for_each_staged(F&& visit) const;

 private:
  friend class DirectoryBuilder;

  struct Hash {
    using is_transparent = void;
    std::size_t operator()(const AddressView& key) const noexcept;
    std::size_t operator()(const BlockView& key) const noexcept;
    std::size_t operator()(const ServiceKeyView& key) const noexcept;
    std::size_t operator()(const NetworkAddress& key) const noexcept {
      return (*this)(AddressView{key.network, key.ip});
    }
    std::size_t operator()(const Vip& key) const noexcept {
      return (*this)(BlockView{key.network, key.block});
    }
    std::size_t operator()(const ServiceKey& key) const noexcept {
      return (*this)(ServiceKeyView{key.ns, key.hostname});
    }
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(const NetworkAddress& a, const AddressView& b) const {
      return a.ip == b.ip && a.network == b.network;
    }
    bool operator()(const NetworkAddress& a, const NetworkAddress& b) const { return a == b; }
    bool operator()(const Vip& a, const BlockView& b) const {
      return a.block == b.block && a.network == b.network;
    }
    bool operator()(const Vip& a, const Vip& b) const { return a == b; }
    bool operator()(const ServiceKey& a, const ServiceKeyView& b) const {
      return a.hostname == b.hostname && a.ns == b.ns;
    }
    bool operator()(const ServiceKey& a, const ServiceKey& b) const { return a == b; }
  };
  template <class K, class V>
  using Map = PersistentMap<K, V, Hash, Equal>;
  template <class V>
  using TextMap = PersistentMap<std::string, V, policy::TextHash>;
  using Workloads = std::vector<WorkloadPtr>;
  using Services = std::vector<ServicePtr>;

  // How many VIPs there are of each prefix length: the lengths worth probing.
  struct PrefixLengths {
    std::vector<std::uint32_t> v4 = std::vector<std::uint32_t>(33);
    std::vector<std::uint32_t> v6 = std::vector<std::uint32_t>(129);
  };

  struct ServiceAt {
    const Service* service = nullptr;
    unsigned length = 0;  // of the block
  };
  ServiceAt service_at(const AddressView& at, const Asker& asker) const;

  std::uint64_t version_ = 0;
  bool addresses_complete_ = false;
  bool policies_complete_ = false;

  TextMap<WorkloadPtr> workloads_;             // by uid
  Map<NetworkAddress, Workloads> by_address_;  // best first
  Map<ServiceKey, Workloads> by_name_;         // by namespace and name; best first
  Map<ServiceKey, ServicePtr> services_;
  TextMap<Services> by_hostname_;
  Map<Vip, Services> by_vip_;  // by key
  std::shared_ptr<const PrefixLengths> vip_lengths_ = std::make_shared<const PrefixLengths>();
  Map<ServiceKey, EndpointSetPtr> endpoints_;
  TextMap<RefusedPtr> refused_;                   // by resource name
  Map<Vip, std::vector<RefusedPtr>> refused_at_;  // addresses as full-length blocks
  std::shared_ptr<const PrefixLengths> refused_lengths_ = std::make_shared<const PrefixLengths>();
  TextMap<std::string> rejected_updates_;  // resource name -> problem
  policy::Catalog policies_;
};
using DirectoryPtr = std::shared_ptr<const Directory>;

template <class F>
void Directory::for_each_endpoint(const ServiceKeyView& service, F&& visit) const {
  const EndpointSet* set = endpoints(service);
  if (set == nullptr) return;
  set->members().for_each([&](const std::string&, const Endpoint& endpoint) { visit(endpoint); });
}

template <class F>
void Directory::for_each_staged(F&& visit) const {
  endpoints_.for_each([&](const ServiceKey& key, const EndpointSetPtr& set) {
    if (services_.find(key) == nullptr) visit(key, set->members().size());
  });
}

}  // namespace mesh::workload
