#include "mesh/hbone/authority.h"

#include <algorithm>

namespace mesh::hbone {
namespace {

constexpr std::size_t kAuthorityMax = 262;
constexpr std::size_t kHostMax = 255;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Leading zeros and 0 pass, as the incumbent's parser lets them.
std::optional<std::uint16_t> parse_lenient_port(std::string_view text) {
  if (text.empty() || text.size() > 16) return std::nullopt;
  std::uint32_t value = 0;
  for (const char c : text) {
    if (!is_digit(c)) return std::nullopt;
    value = value * 10 + static_cast<std::uint32_t>(c - '0');
    if (value > 65535) return std::nullopt;
  }
  return static_cast<std::uint16_t>(value);
}

bool is_host(std::string_view text) {
  const auto ok = [](char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
           c == '-' || c == '_';
  };
  return !text.empty() && text.size() <= kHostMax && std::ranges::all_of(text, ok);
}

// Only digits and dots: it means an address, so if it is none, it is no host either.
bool looks_like_v4(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return is_digit(c) || c == '.'; });
}

}  // namespace

std::optional<Authority> parse_authority(std::string_view text) {
  if (text.empty() || text.size() > kAuthorityMax) return std::nullopt;
  if (text.front() == '[') {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos || end + 1 >= text.size() || text[end + 1] != ':') {
      return std::nullopt;
    }
    const auto ip = net::IpAddress::parse(text.substr(1, end - 1));
    const auto port = parse_lenient_port(text.substr(end + 2));
    if (!ip || !ip->is_v6() || !port) return std::nullopt;
    return net::SocketAddress{.ip = *ip, .port = *port};
  }
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::string_view host = text.substr(0, colon);
  const auto port = parse_lenient_port(text.substr(colon + 1));
  if (!port || !is_host(host)) return std::nullopt;
  if (const auto ip = net::IpAddress::parse(host)) {
    return net::SocketAddress{.ip = *ip, .port = *port};
  }
  if (looks_like_v4(host)) return std::nullopt;
  return HostAndPort{.host = std::string(host), .port = *port};
}

std::string to_string(const Authority& authority) {
  if (const auto* address = std::get_if<net::SocketAddress>(&authority))
    return address->to_string();
  const auto& name = std::get<HostAndPort>(authority);
  return name.host + ":" + std::to_string(name.port);
}

}  // namespace mesh::hbone
