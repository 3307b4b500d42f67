// The node agent's answers about connections older than the mesh.

#include <cstddef>
#include <cstdint>

#include "mesh/base/check.h"
#include "ztunnel/strict.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mesh::ztunnel;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto older = decode_connections(text)) {
    MESH_CHECK(older->listed.size() < size);
    MESH_CHECK(older->all_listed() == (older->total <= older->listed.size()));
  } else {
    MESH_CHECK(!older.error().empty());
  }
  (void)decode_ended(text);
  return 0;
}
