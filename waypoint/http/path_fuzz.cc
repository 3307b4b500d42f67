// Path normalisation: its answer is stable, absolute, and free of what it promises to remove.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mesh/base/check.h"
#include "waypoint/http/path.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mesh::waypoint::http;
  if (size < 1) return 0;
  const PathOptions options{.normalize = (data[0] & 1) == 0,
                            .merge_slashes = (data[0] & 2) != 0,
                            .escaped_slashes = static_cast<EscapedSlashes>((data[0] >> 2) & 3)};
  const std::string_view target(reinterpret_cast<const char*>(data + 1), size - 1);
  const NormalPath once = normalize(target, "GET", options);
  if (once.fault != PathFault::kNone) return 0;
  MESH_CHECK(once.path.starts_with('/'));
  const NormalPath twice = normalize(once.path, "GET", options);
  MESH_CHECK(twice.fault == PathFault::kNone && twice.path == once.path);
  const std::string_view whole = once.path;
  const std::string_view path = whole.substr(0, whole.find('?'));
  if (options.normalize) {
    MESH_CHECK(!path.contains("/../") && !path.contains("/./") && !path.contains('\\'));
    MESH_CHECK(!path.ends_with("/..") && !path.ends_with("/."));
  }
  return 0;
}
