// An answer of netlink, in whatever shape: every message of it is within the answer.

#include <linux/rtnetlink.h>

#include "ebpf/netlink_message.h"
#include "mesh/base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mesh::ebpf;
  const auto datagram = std::as_bytes(std::span(data, size));
  const auto is_within = [](std::span<const std::byte> part, std::span<const std::byte> whole) {
    return part.empty() || (part.data() >= whole.data() &&
                            part.data() + part.size() <= whole.data() + whole.size());
  };
  (void)read_answer(datagram, [&](std::uint16_t, std::span<const std::byte> body) {
    MESH_CHECK(is_within(body, datagram));
    MESH_CHECK(is_within(find_attribute(body, IFLA_IFNAME), body));
    MESH_CHECK(read_link(body).name.size() < size);
    (void)read_address(body);
  });
  return 0;
}
