#pragma once
// What a route asks of a request.

#include <optional>
#include <vector>

#include "waypoint/config/match.h"

namespace mesh::waypoint::config {

// Who calls, as its certificate says: a SPIFFE ID.
struct PrincipalMatch {
  bool of_peer = true;  // else: who is called, the waypoint itself
  StringMatch text = {};
};

struct RouteMatch {
  PathMatch path = {};
  std::vector<HeaderMatch> headers = {};        // all of
  std::vector<QueryMatch> query = {};           // all of
  std::vector<PrincipalMatch> principals = {};  // all of
  bool grpc_only = false;  // content-type application/grpc or application/grpc+…
  std::optional<Fraction> fraction = {};
};

}  // namespace mesh::waypoint::config
