#pragma once
// The :authority of a CONNECT: an address and port, or a host name and port.

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "mesh/net/address.h"

namespace mesh::hbone {

struct HostAndPort {
  std::string host;  // as sent: names match exactly, in case too
  std::uint16_t port = 0;
  friend bool operator==(const HostAndPort&, const HostAndPort&) = default;
};
using Authority = std::variant<net::SocketAddress, HostAndPort>;

// "10.0.0.1:80", "[fd00::1]:80" (any spelling of the address), "svc.ns.svc.cluster.local:80". A
// port is needed; 0 and leading zeros are accepted as the incumbent does (and refused later, by
// port). Limits: 262 bytes. Host names: [A-Za-z0-9._-], 1 to 255 bytes.
std::optional<Authority> parse_authority(std::string_view text);

std::string to_string(const Authority& authority);

}  // namespace mesh::hbone
