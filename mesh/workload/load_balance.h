#pragma once
// Which member of a service serves a connection, and at which address. Pure: the random number
// comes from the caller.

#include <cstdint>
#include <expected>
#include <optional>
#include <string_view>

#include "mesh/base/result.h"
#include "mesh/workload/directory.h"

namespace mesh::workload {

// Where the caller is. Borrows.
struct Place {
  std::string_view network = {};
  std::string_view cluster_id = {};
  std::string_view node = {};
  std::string_view region = {};
  std::string_view zone = {};
  std::string_view subzone = {};

  static Place of(const Workload& workload);
};

struct Choice {
  WorkloadPtr workload = {};
  std::uint16_t target_port = 0;
};

// A member of `service` for a connection to its port `port`: those that may be chosen, of those the
// ones of the best locality rank, of those one at random, weighted by capacity.
//   may be chosen     healthy (unless the service says kAllowAll), of capacity above 0, with an
//                     address, a hostname or a gateway to reach it, and knowing the port: its
//                     own mapping, else the service's, else its application tunnel's
//   locality rank     how many of the service's preferences hold, counted from the first until one
//                     does not; kStrict wants all of them; kStandard ignores them
// `random` is uniform over all its values.
// Errors: kNoEndpoint. Cost: logarithmic in the members, linear when this is the first such
// question since they changed, or one of more than EndpointSet::kTablesMax kinds.
Result<Choice> choose_endpoint(const Directory& directory, const Service& service,
                               std::uint16_t port, const Place& caller, std::uint64_t random);

// The waypoint of a service for one connection: `weighted_waypoints` sampled by weight if there are
// any (all weights 0: none), else `waypoint`. Null: none.
const GatewayAddress* choose_waypoint(const Service& service, std::uint64_t random);

// The address to connect to: `dialled` if it is the workload's own; else one that the service's
// families allow, of the dialled family if there is one. None if there is none.
std::optional<net::IpAddress> choose_address(const Workload& workload, const Service* service,
                                             const net::IpAddress& dialled);

}  // namespace mesh::workload
