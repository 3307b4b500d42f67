#pragma once
// How long a request may take, and which hash it is balanced by.

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "mesh/net/address.h"
#include "waypoint/config/route.h"
#include "waypoint/http/request.h"

namespace mesh::waypoint::route {

struct Deadlines {
  // 0: none. Counted from the end of the request.
  std::chrono::milliseconds whole{0};
  std::chrono::milliseconds per_try{0};
  std::chrono::milliseconds per_try_idle{0};
  bool of_caller = false;  // `whole` is what the caller itself asked for, by grpc-timeout
  // For x-envoy-expected-rq-timeout-ms; 0: do not send it.
  std::chrono::milliseconds expected{0};
};

// A gRPC call's own grpc-timeout counts if the route says so: capped by grpc_timeout_max (0: not),
// and one that is absent or malformed is the longest there may be.
Deadlines deadlines(const config::Forward& forward, const http::Request& request);

// "100m", "5S": RFC of gRPC over HTTP/2. At most 8 digits. None: malformed.
std::optional<std::chrono::milliseconds> parse_grpc_timeout(std::string_view text);

// By what clients are told apart.
std::uint64_t hash_of(const net::IpAddress& source);

struct Hash {
  std::optional<std::uint64_t> value = {};  // none: no policy had anything to go by
  std::string set_cookie = {};              // not empty: add this set-cookie to the response
};
// `fresh`: a number that makes a new cookie unlike others.
Hash hash_of(std::span<const config::HashPolicy> policies, const http::Request& request,
             const net::IpAddress& source, std::uint64_t fresh);

}  // namespace mesh::waypoint::route
