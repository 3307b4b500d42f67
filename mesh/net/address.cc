#include "mesh/net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace mesh::net {
namespace {

constexpr std::array<std::uint8_t, 12> kMappedPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

// FNV-1a: short keys, no secrets. Tables keyed by strangers' addresses are bounded elsewhere.
std::size_t hash_bytes(std::span<const std::uint8_t> bytes, std::size_t seed) {
  std::size_t hash = 0xcbf29ce484222325u ^ seed;
  for (const std::uint8_t byte : bytes) hash = (hash ^ byte) * 0x100000001b3u;
  return hash ^ (hash >> 32);
}

// Decimal without sign or leading zero, at most `limit`.
std::optional<unsigned> parse_number(std::string_view text, unsigned limit) {
  if (text.empty() || text.size() > 5 || (text.size() > 1 && text.front() == '0')) return {};
  unsigned number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number > limit) return {};
  return number;
}

}  // namespace

std::optional<IpAddress> IpAddress::from_bytes(std::span<const std::byte> bytes) {
  IpAddress ip;
  if (bytes.size() != 4 && bytes.size() != 16) return {};
  ip.is_v6_ = bytes.size() == 16;
  std::memcpy(ip.bytes_.data(), bytes.data(), bytes.size());
  return ip;
}

std::optional<IpAddress> IpAddress::from_bytes(std::string_view bytes) {
  return from_bytes(std::as_bytes(std::span(bytes)));
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  if (text.empty() || text.size() > INET6_ADDRSTRLEN - 1) return {};
  std::array<char, INET6_ADDRSTRLEN> terminated{};
  std::ranges::copy(text, terminated.begin());
  if (text.find('\0') != std::string_view::npos) return {};
  IpAddress ip;
  ip.is_v6_ = text.find(':') != std::string_view::npos;
  if (inet_pton(ip.is_v6_ ? AF_INET6 : AF_INET, terminated.data(), ip.bytes_.data()) != 1)
    return {};
  return ip;
}

bool IpAddress::is_loopback() const {
  if (!is_v6_) return bytes_[0] == 127;
  const IpAddress plain = unmapped();
  if (plain.is_v4()) return plain.is_loopback();
  return std::all_of(bytes_.begin(), bytes_.end() - 1, [](auto byte) { return byte == 0; }) &&
         bytes_.back() == 1;
}

bool IpAddress::is_unspecified() const {
  return std::ranges::all_of(bytes(), [](auto byte) { return byte == 0; });
}

IpAddress IpAddress::unmapped() const {
  if (!is_v6_ || !std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), bytes_.begin())) {
    return *this;
  }
  return v4({bytes_[12], bytes_[13], bytes_[14], bytes_[15]});
}

std::string IpAddress::to_string() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  MESH_CHECK(inet_ntop(is_v6_ ? AF_INET6 : AF_INET, bytes_.data(), text.data(), text.size()));
  return text.data();
}

std::optional<SocketAddress> SocketAddress::parse(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return {};
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  const auto ip = IpAddress::parse(host);
  const auto port = parse_number(text.substr(colon + 1), 65535);
  if (!ip || !port || ip->is_v6() != bracketed) return {};
  return SocketAddress{*ip, static_cast<std::uint16_t>(*port)};
}

std::optional<SocketAddress> SocketAddress::from_sockaddr(const sockaddr_storage& storage) {
  if (storage.ss_family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, &storage, sizeof in);
    std::array<std::uint8_t, 4> bytes{};
    std::memcpy(bytes.data(), &in.sin_addr, bytes.size());
    return SocketAddress{IpAddress::v4(bytes), ntohs(in.sin_port)};
  }
  if (storage.ss_family == AF_INET6) {
    sockaddr_in6 in{};
    std::memcpy(&in, &storage, sizeof in);
    std::array<std::uint8_t, 16> bytes{};
    std::memcpy(bytes.data(), &in.sin6_addr, bytes.size());
    return SocketAddress{IpAddress::v6(bytes).unmapped(), ntohs(in.sin6_port)};
  }
  return {};
}

socklen_t SocketAddress::to_sockaddr(sockaddr_storage& storage) const {
  storage = {};
  if (ip.is_v4()) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    std::memcpy(&in.sin_addr, ip.bytes().data(), 4);
    std::memcpy(&storage, &in, sizeof in);
    return sizeof in;
  }
  sockaddr_in6 in{};
  in.sin6_family = AF_INET6;
  in.sin6_port = htons(port);
  std::memcpy(&in.sin6_addr, ip.bytes().data(), 16);
  std::memcpy(&storage, &in, sizeof in);
  return sizeof in;
}

std::string SocketAddress::to_string() const {
  const std::string host = ip.to_string();
  return (ip.is_v6() ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

std::optional<Cidr> Cidr::make(const IpAddress& base, unsigned length) {
  if (length > base.bytes().size() * 8) return {};
  std::array<std::byte, 16> bytes{};
  const std::size_t size = base.bytes().size();
  for (std::size_t i = 0; i < size; ++i) {
    const unsigned kept = length > i * 8 ? std::min(8u, length - static_cast<unsigned>(i) * 8) : 0;
    bytes[i] = std::byte(base.bytes()[i] & static_cast<std::uint8_t>(0xff00u >> kept));
  }
  Cidr cidr;
  cidr.base_ = *IpAddress::from_bytes(std::span<const std::byte>(bytes.data(), size));
  cidr.length_ = length;
  return cidr;
}

std::optional<Cidr> Cidr::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto ip = IpAddress::parse(text.substr(0, slash));
  if (!ip) return {};
  if (slash == std::string_view::npos)
    return make(*ip, static_cast<unsigned>(ip->bytes().size() * 8));
  const auto length = parse_number(text.substr(slash + 1), 128);
  return length ? make(*ip, *length) : std::nullopt;
}

bool Cidr::contains(const IpAddress& ip) const {
  if (ip.is_v6() != base_.is_v6()) return false;
  const std::size_t whole = length_ / 8;
  if (!std::equal(base_.bytes().begin(), base_.bytes().begin() + static_cast<std::ptrdiff_t>(whole),
                  ip.bytes().begin())) {
    return false;
  }
  if (length_ % 8 == 0) return true;
  const auto mask = static_cast<std::uint8_t>(0xff00u >> (length_ % 8));
  return (ip.bytes()[whole] & mask) == base_.bytes()[whole];
}

std::string Cidr::to_string() const { return base_.to_string() + "/" + std::to_string(length_); }

std::optional<std::uint16_t> parse_port(std::string_view text) {
  const auto number = parse_number(text, 65535);
  if (!number || *number == 0) return {};
  return static_cast<std::uint16_t>(*number);
}

}  // namespace mesh::net

std::size_t std::hash<mesh::net::IpAddress>::operator()(
    const mesh::net::IpAddress& ip) const noexcept {
  return mesh::net::hash_bytes(ip.bytes(), ip.is_v6());
}

std::size_t std::hash<mesh::net::SocketAddress>::operator()(
    const mesh::net::SocketAddress& address) const noexcept {
  return mesh::net::hash_bytes(address.ip.bytes(), std::size_t{address.port} * 0x9e3779b97f4a7c15u);
}
