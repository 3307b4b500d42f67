// What a ztunnel says to the agent: hellos and acks of anybody.

#include <cstddef>
#include <cstdint>
#include <span>

#include "ebpf/zds_session.h"
#include "mesh/base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mesh::ebpf;
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto hello = decode_hello(bytes);
  MESH_CHECK(hello || !hello.error().empty());
  const auto ack = decode_ack(bytes);
  MESH_CHECK(ack || !ack.error().empty());
  return 0;
}
