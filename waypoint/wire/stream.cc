#include "waypoint/wire/stream.h"

#include <algorithm>
#include <charconv>

namespace mesh::waypoint::wire {

h1::Fault check_request(const Request& request) {
  const std::string& path = request.path;
  const bool star = path == "*" && request.method == "OPTIONS";
  if (!star && !path.starts_with('/')) return h1::Fault::kTarget;
  const auto is_plain = [](char c) { return c > ' ' && c < 0x7f && c != '#'; };
  if (!std::ranges::all_of(path, is_plain)) return h1::Fault::kTarget;
  if (!h2::is_authority(request.authority)) return h1::Fault::kHost;
  if (request.method == "CONNECT") return h1::Fault::kTarget;
  // Methods are case-sensitive, but not to every server.
  const auto is_method = [](char c) { return (c >= 'A' && c <= 'Z') || c == '-'; };
  if (!std::ranges::all_of(request.method, is_method)) return h1::Fault::kSyntax;
  if (std::ranges::any_of(request.headers, h1::mimics_framing, &h2::Header::name)) {
    return h1::Fault::kFraming;
  }
  return h1::Fault::kNone;
}

Result<std::optional<std::uint64_t>> content_length(const h2::Headers& headers) {
  std::optional<std::uint64_t> length;
  for (const h2::Header& header : headers) {
    if (header.name != "content-length") continue;
    std::uint64_t value = 0;
    const char* const end = header.value.data() + header.value.size();
    const auto read = std::from_chars(header.value.data(), end, value);
    const bool padded = header.value.size() > 1 && header.value.front() == '0';
    if (length || header.value.empty() || padded || read.ec != std::errc() || read.ptr != end) {
      return failed(Reason::kMalformed, "content-length");
    }
    length = value;
  }
  return length;
}

}  // namespace mesh::waypoint::wire
