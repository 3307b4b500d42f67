#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mesh/admin/http_request.h"
#include "mesh/base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const mesh::admin::Parsed parsed = mesh::admin::parse_request(text);
  if (parsed.result == mesh::admin::ParseResult::kDone) {
    MESH_CHECK(parsed.head_bytes <= size && parsed.head_bytes <= mesh::admin::kHeadBytesMax);
    MESH_CHECK(parsed.request.path.starts_with('/'));
    MESH_CHECK(parsed.request.body_bytes <= mesh::admin::kBodyBytesMax);
    (void)parsed.request.parameter("level");
  }
  if (parsed.result == mesh::admin::ParseResult::kBad) MESH_CHECK(parsed.status >= 400);
  return 0;
}
