#pragma once
// The part of WebSocket's handshake that only HTTP/1.1 has (RFC 6455, 4; RFC 8441, 5): needed where
// the two sides of an upgrade speak different versions. Pure.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace mesh::waypoint::wire {

// What a server answers to a Sec-WebSocket-Key.
std::string websocket_accept(std::string_view key);
// A key of 16 random bytes.
std::string websocket_key(std::span<const std::uint64_t, 2> random);

}  // namespace mesh::waypoint::wire
