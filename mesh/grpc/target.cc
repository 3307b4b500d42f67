#include "mesh/grpc/channel.h"
#include "mesh/grpc/file.h"
#include "mesh/net/address.h"

namespace mesh::grpc {
namespace {

constexpr std::size_t kRootsBytesMax = 1024 * 1024;
constexpr std::size_t kTokenBytesMax = 64 * 1024;
constexpr std::size_t kHostBytesMax = 253;

bool is_host(std::string_view host) {
  if (host.empty() || host.size() > kHostBytesMax) return false;
  if (net::IpAddress::parse(host)) return true;
  for (const char c : host) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!letter && !(c >= '0' && c <= '9') && c != '-' && c != '.' && c != '_') return false;
  }
  return host.front() != '.' && host.front() != '-';
}

}  // namespace

Result<Target> Target::parse(std::string_view address) {
  constexpr const char* kDuring = "control plane address";
  constexpr std::string_view kScheme = "https://";
  const auto malformed = failed(Reason::kMalformed, kDuring);
  Target target{.host = {}, .port = 443};
  const bool has_scheme = address.starts_with(kScheme);
  if (has_scheme) address.remove_prefix(kScheme.size());
  if (address.ends_with('/')) address.remove_suffix(1);

  std::string_view port;
  if (address.starts_with('[')) {
    const std::size_t close = address.find(']');
    if (close == address.npos) return malformed;
    target.host = address.substr(1, close - 1);
    const auto ip = net::IpAddress::parse(target.host);
    if (!ip || !ip->is_v6()) return malformed;
    port = address.substr(close + 1);
    if (!port.empty() && port.front() != ':') return malformed;
  } else {
    const std::size_t colon = address.find(':');
    target.host = address.substr(0, colon);
    if (colon != address.npos) port = address.substr(colon);
  }
  if (port.empty()) {
    if (!has_scheme) return malformed;
  } else {
    const auto number = net::parse_port(port.substr(1));
    if (!number) return malformed;
    target.port = *number;
  }
  if (!is_host(target.host)) return malformed;
  return target;
}

std::string Target::authority() const {
  const bool brackets = host.find(':') != host.npos;
  return (brackets ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

std::function<Result<std::string>()> roots_from_file(std::string path) {
  return [path = std::move(path)] {
    return internal::read_file(path, kRootsBytesMax, "reading roots");
  };
}

std::function<Result<Metadata>()> bearer_metadata(std::string token_path, Metadata fixed) {
  return [path = std::move(token_path), fixed = std::move(fixed)]() -> Result<Metadata> {
    Metadata metadata;
    if (!path.empty()) {
      TRY(std::string token, internal::read_file(path, kTokenBytesMax, "reading token"));
      const std::size_t first = token.find_first_not_of(" \t\r\n");
      if (first == token.npos) return failed(Reason::kMalformed, "reading token: empty");
      token = token.substr(first, token.find_last_not_of(" \t\r\n") - first + 1);
      for (const char c : token) {
        if (c <= 0x20 || c >= 0x7f) return failed(Reason::kMalformed, "reading token");
      }
      metadata.emplace_back("authorization", "Bearer " + token);
    }
    metadata.insert(metadata.end(), fixed.begin(), fixed.end());
    return metadata;
  };
}

}  // namespace mesh::grpc
