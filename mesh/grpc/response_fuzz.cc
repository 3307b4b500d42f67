// The bytes of a gRPC server: frames in any cut, trailers, DNS replies.
// Input: the first byte chooses; then header text up to a zero byte; then the body.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "mesh/base/check.h"
#include "mesh/grpc/channel.h"
#include "mesh/grpc/resolver.h"
#include "mesh/grpc/response.h"

namespace {

using namespace mesh::grpc;

// "name: value" lines.
std::vector<HeaderView> headers_of(std::string_view text) {
  std::vector<HeaderView> headers;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    const std::size_t colon = line.find(':', 1);
    if (colon != line.npos) headers.push_back({line.substr(0, colon), line.substr(colon + 1)});
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return headers;
}

void read_response(std::string_view text, std::size_t step) {
  const std::size_t end = std::min(text.find('\0'), text.size());
  const auto headers = headers_of(text.substr(0, end));
  std::string_view body = text.substr(std::min(end + 1, text.size()));
  ResponseReader reader(1000);
  reader.on_headers(headers, false);
  while (!body.empty()) {
    const std::string_view piece = body.substr(0, step);
    body.remove_prefix(piece.size());
    std::span<const std::byte> bytes = std::as_bytes(std::span(piece.data(), piece.size()));
    while (!bytes.empty()) {
      const auto message = reader.feed(bytes);
      if (!message) break;
      MESH_CHECK(!*message || (*message)->size() <= 1000);
    }
  }
  reader.on_headers(headers, true);
  MESH_CHECK(reader.ended());
  MESH_CHECK(reader.status().message.size() <= kStatusMessageMax + 64);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] == 'D') {
    (void)decode_reply(text, 7, "control.mesh", QueryType::kA);
    (void)decode_reply(text, 7, "control.mesh", QueryType::kAaaa);
  } else if (data[0] == 'F') {
    const ResolvConf conf = parse_resolv_conf(text);
    MESH_CHECK(conf.servers.size() <= 3 && conf.search.size() <= 6);
    (void)lookup_hosts(text, "control");
    (void)search_names(conf, text.substr(0, 64));
    (void)encode_query(1, text, QueryType::kA);
    (void)Target::parse(text);
  } else {
    read_response(text, 1 + data[0] % 16);
  }
  return 0;
}
