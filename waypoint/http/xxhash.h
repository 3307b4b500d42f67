#pragma once
// XXH64, the hash that Envoy places hosts and requests on a ring with. Not for secrets.

#include <cstdint>
#include <string_view>

namespace mesh::waypoint::http {

std::uint64_t xxhash64(std::string_view text, std::uint64_t seed = 0);

}  // namespace mesh::waypoint::http
