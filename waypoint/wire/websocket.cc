#include "waypoint/wire/websocket.h"

#include <cstring>

#include "mesh/base/base64.h"
#include "mesh/tls/digest.h"

namespace mesh::waypoint::wire {

std::string websocket_accept(std::string_view key) {
  std::string text(key);
  text += "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  const auto digest = tls::sha1(text);
  return base64_encode({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

std::string websocket_key(std::span<const std::uint64_t, 2> random) {
  char bytes[16];
  std::memcpy(bytes, random.data(), sizeof bytes);
  return base64_encode({bytes, sizeof bytes});
}

}  // namespace mesh::waypoint::wire
