// Formats of access logs: whatever they say, they are taken apart within their limits.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mesh/base/check.h"
#include "waypoint/config/access_format.h"

using namespace mesh::waypoint;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<std::string> unknown;
  const auto format = config::parse_access_format(
      std::string_view(reinterpret_cast<const char*>(data), size), unknown);
  if (!format) return 0;
  MESH_CHECK(format->pieces.size() <= config::kLogPiecesMax);
  for (const config::LogPiece& piece : format->pieces) {
    MESH_CHECK(piece.what == config::LogOperator::kLiteral || piece.text.empty());
  }
  return 0;
}
