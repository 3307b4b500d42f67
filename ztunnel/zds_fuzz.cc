#include <cstddef>
#include <cstdint>
#include <span>

#include "mesh/base/check.h"
#include "ztunnel/zds.h"

// A conversation: each packet is a length, a number of descriptors, then its bytes.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  mesh::ztunnel::ZdsSession session;
  std::size_t at = 0;
  while (at + 2 <= size) {
    const std::size_t length = std::min<std::size_t>(data[at], size - at - 2);
    const mesh::ztunnel::ZdsPacket packet{.bytes = std::as_bytes(std::span(data + at + 2, length)),
                                          .descriptors = data[at + 1] % 4u,
                                          .truncated = data[at + 1] >= 0xf0};
    const auto message = session.receive(packet);
    if (!message) {
      MESH_CHECK(!message.error().empty());
      MESH_CHECK(mesh::ztunnel::encode_zds_ack(message.error()).size() <= 1024);
    }
    at += 2 + length;
  }
  return 0;
}
