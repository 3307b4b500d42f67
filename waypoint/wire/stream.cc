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
  return h1::Fault::kNone;
}

Result<std::optional<std::uint64_t>> content_length(const h2::Headers& headers) {
  std::optional<std::uint64_t> length;
  for (const h2::Header& header : headers) {
    if (header.name != "content-length") continue;
    std::uint64_t value = 0;
    const char* const end = header.value.data() + header.value.size();
    const auto read = std::from_chars(header.value.data(), end, value);
    if (length || header.value.empty() || read.ec != std::errc() || read.ptr != end) {
      return failed(Reason::kMalformed, "content-length");
    }
    length = value;
  }
  return length;
}

}  // namespace mesh::waypoint::wire
