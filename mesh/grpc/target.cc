#include <algorithm>
#include <cerrno>

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

std::function<Result<std::string>()> roots_from(std::string setting) {
  if (setting == "SYSTEM") return roots_from_file(kSystemRoots);
  if (!setting.starts_with("-----BEGIN ")) return roots_from_file(std::move(setting));
  return [pem = std::move(setting)]() -> Result<std::string> {
    if (pem.size() > kRootsBytesMax) return failed(Reason::kTooLarge, "reading roots");
    return pem;
  };
}

namespace {

Result<std::string> read_token(const std::string& token) {
  const bool is_path = token.starts_with('/') || token.starts_with('.');
  auto read = internal::read_file(token, kTokenBytesMax, "reading token");
  if (read || is_path || read.error().os_errno != ENOENT) return read;
  return token;
}

}  // namespace

std::function<Result<Metadata>()> bearer_metadata(std::string token, Metadata fixed) {
  return [setting = std::move(token), fixed = std::move(fixed)]() -> Result<Metadata> {
    Metadata metadata;
    if (!setting.empty()) {
      TRY(std::string text, read_token(setting));
      const std::size_t first = text.find_first_not_of(" \t\r\n");
      if (first == text.npos) return failed(Reason::kMalformed, "reading token: empty");
      text = text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
      for (const char c : text) {
        if (c <= 0x20 || c >= 0x7f) return failed(Reason::kMalformed, "reading token");
      }
      metadata.emplace_back("authorization", "Bearer " + text);
    }
    metadata.insert(metadata.end(), fixed.begin(), fixed.end());
    return metadata;
  };
}

bool is_own_metadata(std::string_view name, std::string_view value) {
  constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~";
  const auto in_name = [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || kOthers.contains(c);
  };
  const auto in_value = [](char c) { return c >= 0x20 && c < 0x7f; };
  const bool reserved = name.starts_with("grpc-") || name.ends_with("-bin") || name == "te" ||
                        name == "content-type" || name == "content-length" ||
                        name == "user-agent" || name == "host" || name == "connection" ||
                        name == "transfer-encoding" || name == "upgrade" ||
                        name == "authorization" || name == "clusterid";
  const bool trimmed = value.empty() || (value.front() != ' ' && value.back() != ' ');
  return !name.empty() && !reserved && trimmed && std::ranges::all_of(name, in_name) &&
         std::ranges::all_of(value, in_value);
}

}  // namespace mesh::grpc
