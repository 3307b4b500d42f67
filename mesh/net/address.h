#pragma once
// IP addresses, socket addresses and CIDR blocks, as values.
//
// An IPv4-mapped IPv6 address (::ffff:a.b.c.d) is normalised to IPv4 when it comes from the kernel
// (from_sockaddr) and stays IPv6 when it comes from configuration (parse), so that a policy which
// names a mapped range does not match IPv4 callers (recorded behaviour of the incumbent).

#include <sys/socket.h>

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "mesh/base/result.h"

namespace mesh::net {

class IpAddress {
 public:
  constexpr IpAddress() = default;  // 0.0.0.0

  static constexpr IpAddress v4(std::array<std::uint8_t, 4> bytes) {
    IpAddress ip;
    for (std::size_t i = 0; i < 4; ++i) ip.bytes_[i] = bytes[i];
    return ip;
  }
  static constexpr IpAddress v6(std::array<std::uint8_t, 16> bytes) {
    IpAddress ip;
    ip.is_v6_ = true;
    ip.bytes_ = bytes;
    return ip;
  }
  // 4 or 16 bytes in network order, as protobuf carries them; anything else is none.
  static std::optional<IpAddress> from_bytes(std::span<const std::byte> bytes);
  static std::optional<IpAddress> from_bytes(std::string_view bytes);
  // "10.0.0.1", "fd00::1"; no zone, no brackets, no leading zeros, at most 45 characters.
  static std::optional<IpAddress> parse(std::string_view text);

  bool is_v4() const { return !is_v6_; }
  bool is_v6() const { return is_v6_; }
  bool is_loopback() const;
  bool is_unspecified() const;
  // ::ffff:a.b.c.d becomes a.b.c.d; everything else is itself.
  IpAddress unmapped() const;

  // 4 or 16 bytes, network order.
  std::span<const std::uint8_t> bytes() const { return {bytes_.data(), is_v6_ ? 16u : 4u}; }
  std::string to_string() const;

  friend auto operator<=>(const IpAddress&, const IpAddress&) = default;

 private:
  bool is_v6_ = false;
  std::array<std::uint8_t, 16> bytes_{};
};

struct SocketAddress {
  IpAddress ip;
  std::uint16_t port = 0;

  // "10.0.0.1:80", "[fd00::1]:80".
  static std::optional<SocketAddress> parse(std::string_view text);
  static std::optional<SocketAddress> from_sockaddr(const sockaddr_storage& storage);
  // Fills `storage`, returns the length to pass to the kernel.
  socklen_t to_sockaddr(sockaddr_storage& storage) const;
  std::string to_string() const;

  friend auto operator<=>(const SocketAddress&, const SocketAddress&) = default;
};

// A block of addresses of one family. Host bits are cleared when it is made.
class Cidr {
 public:
  Cidr() = default;  // 0.0.0.0/0
  // none if `length` exceeds the family's bits.
  static std::optional<Cidr> make(const IpAddress& base, unsigned length);
  // "10.0.0.0/8", "fd00::/16", or one address.
  static std::optional<Cidr> parse(std::string_view text);

  // Never true across families.
  bool contains(const IpAddress& ip) const;
  const IpAddress& base() const { return base_; }
  unsigned length() const { return length_; }
  std::string to_string() const;

  friend auto operator<=>(const Cidr&, const Cidr&) = default;

 private:
  IpAddress base_;
  unsigned length_ = 0;
};

// "8080" -> 8080: decimal, no sign, no leading zero, 1 to 65535.
std::optional<std::uint16_t> parse_port(std::string_view text);

}  // namespace mesh::net

template <>
struct std::hash<mesh::net::IpAddress> {
  std::size_t operator()(const mesh::net::IpAddress& ip) const noexcept;
};
template <>
struct std::hash<mesh::net::SocketAddress> {
  std::size_t operator()(const mesh::net::SocketAddress& address) const noexcept;
};
