// Addresses, blocks, ports and identities from manifests and certificates: whatever parses must
// print as something that parses to the same value.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mesh/base/check.h"
#include "mesh/net/address.h"
#include "mesh/net/spiffe_id.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mesh::net;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto ip = IpAddress::parse(text)) MESH_CHECK(IpAddress::parse(ip->to_string()) == ip);
  if (const auto at = SocketAddress::parse(text)) {
    MESH_CHECK(SocketAddress::parse(at->to_string()) == at);
  }
  if (const auto block = Cidr::parse(text)) {
    MESH_CHECK(Cidr::parse(block->to_string()) == block);
    MESH_CHECK(block->contains(block->base()));
  }
  if (const auto id = SpiffeId::parse(text)) MESH_CHECK(id->to_string() == text);
  if (const auto port = parse_port(text)) MESH_CHECK(*port != 0);
  return 0;
}
