#pragma once
// What the tests of mesh/io share: a ring, a pair of connected sockets, short words for bytes.

#include <catch2/catch_test_macros.hpp>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "mesh/io/ring.h"
#include "mesh/io/socket.h"

namespace mesh::io::test {

inline std::unique_ptr<Ring> make_ring(RingOptions options = {}) {
  auto ring = Ring::create(options);
  REQUIRE(ring.has_value());
  return *std::move(ring);
}

inline std::span<const std::byte> bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}
inline std::string text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline net::SocketAddress loopback(std::uint16_t port = 0) {
  return {net::IpAddress::v4({127, 0, 0, 1}), port};
}

inline Listener make_listener(Ring& ring) {
  ListenOptions options;
  options.at = loopback();
  auto listener = Listener::listen(ring, options);
  REQUIRE(listener.has_value());
  return *std::move(listener);
}

struct Pair {
  std::optional<Socket> client;
  std::optional<Socket> server;
};

inline Task<void> make_pair_of(Ring& ring, Listener& listener, Pair& pair) {
  ConnectOptions options;
  options.to = listener.local_address();
  auto client = co_await connect(ring, options);
  REQUIRE(client.has_value());
  pair.client.emplace(*std::move(client));
  auto server = co_await listener.accept();
  REQUIRE(server.has_value());
  pair.server.emplace(*std::move(server));
}

// Everything until end of stream.
inline Task<std::string> read_to_end(Socket& socket) {
  std::string all;
  for (;;) {
    auto buffer = co_await socket.recv_buffer();
    REQUIRE(buffer.has_value());
    if (buffer->empty()) co_return all;
    all += text(buffer->bytes());
  }
}

}  // namespace mesh::io::test
