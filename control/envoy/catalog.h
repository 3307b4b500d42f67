#pragma once
// Catalog: the services and workloads of the mesh as a waypoint's configuration needs them. What
// ztunnels are told of (translate_workloads.h), read again: so both proxies know the same services,
// the same endpoints and the same waypoints. It follows the world: of the next one it reads what
// changed.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "control/delta.h"
#include "control/world.h"

namespace istio::workload {
class Address;
}

namespace mesh::control {

enum class PortProtocol : std::uint8_t {
  kUnknown,  // to be found out by looking
  kHttp,     // of any version
  kHttp2,    // gRPC too: backends are spoken to in HTTP/2
  kTcp,      // and what only its ends can read
};

struct Locality {
  std::string region, zone, subzone;
  bool empty() const { return region.empty() && zone.empty() && subzone.empty(); }
  friend auto operator<=>(const Locality&, const Locality&) = default;
};

struct CatalogWorkload {
  std::string uid, ns, name;
  std::vector<std::string> addresses;  // IP addresses as text, IPv4 without, IPv6 without brackets
  std::string hostname;                // when it has no address
  bool hbone = false;
  bool healthy = true;
  Locality locality;
  std::uint32_t weight = 1;
  std::string description;                   // "NAME;NAMESPACE;CANONICAL NAME;REVISION;CLUSTER"
  std::string waypoint;                      // host of the waypoint in front of the workload itself
  const manifest::Labels* labels = nullptr;  // null: of something without labels
};

struct CatalogPort {
  std::uint16_t number = 0;
  PortProtocol protocol = PortProtocol::kUnknown;
  friend bool operator==(const CatalogPort&, const CatalogPort&) = default;
};

struct Backing {  // one workload behind a service
  const CatalogWorkload* workload = nullptr;
  std::map<std::uint16_t, std::uint16_t> targets;  // by the service's port
};

struct CatalogService {
  std::string key;  // "NAMESPACE/HOST"
  std::string ns, name, host;
  std::vector<net::Cidr> addresses;
  std::vector<CatalogPort> ports;
  std::string waypoint;  // the host of the waypoint in front of it; empty: none
  bool headless = false;
  bool is_entry = false;                         // of a ServiceEntry
  bool by_name = false;                          // its endpoints are names to be looked up
  bool prefers_close = false;                    // by its traffic distribution
  bool allows_unhealthy = false;                 // publishNotReadyAddresses
  const manifest::Metadata* metadata = nullptr;  // of the Service or ServiceEntry
  std::vector<Backing> backing;                  // ordered by workload

  const CatalogPort* port(std::uint16_t number) const;
};

// Threads: one.
class Catalog {
 public:
  // Empty: follow() fills it.
  explicit Catalog(const Settings& settings);
  // Of the whole world, which it borrows from.
  Catalog(const World& world, const Settings& settings);
  Catalog(const Catalog&) = delete;
  Catalog& operator=(const Catalog&) = delete;

  struct Changes {
    std::set<std::string> hosts;      // of services that came, went, or are described otherwise
    std::set<std::string> waypoints;  // hosts of those before which something else stands
    std::set<std::string> filled;     // keys of services with other endpoints
    std::size_t read = 0;             // services and workloads that were looked at
  };
  // To that world, and what ztunnels are told of it.
  Changes follow(std::shared_ptr<const World> world, const Resources& addresses);

  // nullptr when there is none. Pointers hold until the service is gone.
  const CatalogService* find(std::string_view ns, std::string_view host) const;
  // The service of that host, as `ns` sees it: its own first.
  const CatalogService* find_host(std::string_view ns, std::string_view host) const;
  // The service of an extension provider, which may say its namespace; nullptr: there is none.
  const CatalogService* find_provider(std::string_view viewer_ns, std::string_view ns,
                                      std::string_view host) const {
    return ns.empty() ? find_host(viewer_ns, host) : find(ns, host);
  }
  // The service that a Kubernetes Service is.
  const CatalogService* of_service(std::string_view ns, std::string_view name) const;
  // What a waypoint stands before, by its host; ordered by key.
  std::vector<const CatalogService*> services_behind(const std::string& waypoint) const;
  std::vector<const CatalogWorkload*> workloads_behind(const std::string& waypoint) const;

  // What was asked for: other services do not matter to who asked.
  struct Reads {
    std::set<std::string, std::less<>> hosts;       // there or not
    std::set<std::string, std::less<>> namespaces;  // of those that are there
  };
  // Writes down what is asked for from now on; null: no more.
  void watch(Reads* reads) const { reads_ = reads; }

 private:
  struct Held {  // a workload
    CatalogWorkload workload;
    std::map<std::string, Backing> backs;  // by the service's key
  };

  void put(const World& world, const std::string& name, const istio::workload::Address* address,
           Changes& changes);
  void put_workload(const World& world, const std::string& name,
                    const istio::workload::Address* address, Changes& changes);
  void put_service(const World& world, const std::string& name,
                   const istio::workload::Address* address, Changes& changes);
  void describe(const World& world, CatalogService& service);
  void fill(const Changes& changes);
  const CatalogService* seen(const CatalogService* service) const;

  const std::string domain_, pods_;     // pods_: what their workloads' names begin with
  std::shared_ptr<const World> world_;  // that of follow()
  Resources addresses_;
  std::map<std::string, Held> workloads_;
  std::map<std::string, CatalogService> services_;
  // By host and namespace; by the waypoint's host and the name.
  std::map<std::string, std::map<std::string, const CatalogService*>, std::less<>> by_host_;
  std::map<std::string, std::set<std::string>> services_behind_, workloads_behind_;
  std::map<std::string, std::map<std::string, const Backing*>> backing_;  // by service, workload
  // Which of them an object of the world says more about, there or not.
  std::map<manifest::ObjectKey, std::set<std::string>> about_;
  mutable Reads* reads_ = nullptr;
};

// Where a pod's node is.
Locality locality_of(const World& world, const manifest::Pod& pod);

}  // namespace mesh::control
