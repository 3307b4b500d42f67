#pragma once
// Which DestinationRule says how a service is called, and what it says for a port and a subset.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "control/envoy/catalog.h"
#include "control/world.h"

namespace mesh::control {

// "web" as it is meant in namespace `ns`: "web.shop.svc.cluster.local". Names with a dot are whole.
std::string full_host(std::string_view host, std::string_view ns, const Settings& settings);
// `pattern` is the host, or a wildcard ("*.example.com", "*") that covers it.
bool host_covers(std::string_view pattern, std::string_view host);
// An exportTo of an object in `ns` lets `viewer` see it.
bool is_exported(const std::vector<std::string>& export_to, const std::string& ns,
                 const std::string& viewer);

class DestinationRules {
 public:
  // As they are seen from `gateway`.
  DestinationRules(const World& world, const Settings& settings, const manifest::Gateway& gateway);

  // The waypoint's namespace is asked first, then the service's, then the root namespace; a host
  // in full before a wildcard, then the oldest. nullptr: none.
  const manifest::DestinationRule* of(const CatalogService& service) const;

 private:
  std::string gateway_ns_;
  std::string root_ns_;
  // By namespace; the hosts are full.
  struct Known {
    std::string host;
    const manifest::DestinationRule* rule = nullptr;
  };
  std::map<std::string, std::vector<Known>, std::less<>> by_namespace_;
};

// nullptr: there is no such subset.
const manifest::Subset* find_subset(const manifest::DestinationRule* rule, std::string_view name);

// A port's settings replace the rule's; a subset's stand before either.
manifest::TrafficPolicy traffic_policy(const manifest::DestinationRule* rule,
                                       const manifest::Subset* subset, std::uint16_t port);

}  // namespace mesh::control
