#pragma once
// Digests that are no part of TLS. Pure.

#include <array>
#include <cstdint>
#include <string_view>

namespace mesh::tls {

// FIPS 180-4. For protocols that ask for it where no secret depends on it: WebSocket's handshake.
std::array<std::uint8_t, 20> sha1(std::string_view text);

}  // namespace mesh::tls
