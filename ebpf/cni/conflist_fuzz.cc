// Any file: chaining ends, chaining twice does nothing, and taking out leaves nothing of ours.

#include <cstdint>

#include "ebpf/cni/conflist.h"
#include "mesh/base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mesh::ebpf::cni;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const PluginEntry entry{.socket = "/s", .excluded_namespaces = {"a"}};
  const auto chained = with_plugin(text, entry);
  if (!chained) return 0;
  const std::string now = *chained ? **chained : std::string(text);
  const auto again = with_plugin(now, entry);
  MESH_CHECK(again && !*again);
  const auto left = without_plugin(now);
  MESH_CHECK(left && *left);
  const auto twice = without_plugin(**left);
  MESH_CHECK(!twice || !*twice);
  return 0;
}
