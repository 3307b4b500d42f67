#pragma once
// A netlink request under construction: header, fixed part, attributes; and the reading of answers.
// Only bytes: no socket.

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "mesh/base/result.h"
#include "mesh/net/address.h"

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

// What `bytes` begin with; zeroes when they are too few.
template <class T>
  requires std::is_trivially_copyable_v<T>
T read_fixed(std::span<const std::byte> bytes) {
  T value{};
  if (bytes.size() >= sizeof value) std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

// A message of an answer: its type, and what follows the netlink header.
using OnNetlinkMessage = std::function<void(std::uint16_t, std::span<const std::byte>)>;

// One datagram of an answer, message by message. True: it was the last.
// Errors: the kernel's errno; kMalformed.
Result<bool> read_answer(std::span<const std::byte> datagram, const OnNetlinkMessage& on_message);

struct Link {
  unsigned ifindex = 0;
  std::string name = {};
  bool ethernet = false;
  bool loopback = false;
  bool up = false;
};
// The body of an RTM_NEWLINK; what it lacks is left as above.
Link read_link(std::span<const std::byte> body);

struct InterfaceAddress {
  unsigned ifindex = 0;
  net::IpAddress ip;
};
// The body of an RTM_NEWADDR, if it is about an IP address.
std::optional<InterfaceAddress> read_address(std::span<const std::byte> body);

}  // namespace mesh::ebpf
