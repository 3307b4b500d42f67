#pragma once
// Catalog: the services and workloads of the mesh as a waypoint's configuration needs them. What
// ztunnels are told of (translate_workloads.h), read again: so both proxies know the same services,
// the same endpoints and the same waypoints.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "control/world.h"

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

// Borrows from the world.
class Catalog {
 public:
  Catalog(const World& world, const Settings& settings);
  Catalog(const Catalog&) = delete;
  Catalog& operator=(const Catalog&) = delete;

  const std::map<std::string, CatalogService>& services() const { return services_; }
  const std::vector<CatalogWorkload>& workloads() const { return workloads_; }
  // nullptr when there is none.
  const CatalogService* find(std::string_view ns, std::string_view host) const;
  // The service of that host, as `ns` sees it: its own first.
  const CatalogService* find_host(std::string_view ns, std::string_view host) const;
  // The service that a Kubernetes Service is.
  const CatalogService* of_service(std::string_view ns, std::string_view name) const;

 private:
  std::string domain_;
  std::vector<CatalogWorkload> workloads_;
  std::map<std::string, CatalogService> services_;
  std::multimap<std::string, const CatalogService*, std::less<>> by_host_;
};

// Where a pod's node is.
Locality locality_of(const World& world, const manifest::Pod& pod);

}  // namespace mesh::control
