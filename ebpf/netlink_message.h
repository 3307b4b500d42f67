#pragma once
// A netlink request under construction: header, fixed part, attributes; and a walk over attributes
// of an answer. Only bytes: no socket.

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

namespace mesh::ebpf {

class NetlinkMessage {
 public:
  NetlinkMessage(std::uint16_t type, std::uint16_t flags);

  // The family's own header, right behind the netlink header.
  template <class T>
    requires std::is_trivially_copyable_v<T>
  NetlinkMessage& fixed(const T& part) {
    append({reinterpret_cast<const std::byte*>(&part), sizeof part});
    return *this;
  }
  NetlinkMessage& attribute(std::uint16_t type, std::span<const std::byte> value);
  NetlinkMessage& attribute(std::uint16_t type, std::uint32_t value);

  // The finished request. The message must not be changed afterwards.
  std::span<const std::byte> bytes();

 private:
  void append(std::span<const std::byte> part);
  std::vector<std::byte> buffer_;
};

// The value of the attribute `type` in `attributes`, or an empty span. Stops at a length that does
// not fit: what the kernel sends always does.
std::span<const std::byte> find_attribute(std::span<const std::byte> attributes,
                                          std::uint16_t type);

}  // namespace mesh::ebpf
