// Manifests: whatever the bytes are, parse() returns, and keeps its promises.

#include <cstdint>
#include <string_view>

#include "mesh/manifest/parse.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mesh::manifest;
  const Parsed parsed = parse("fuzz.yaml", {reinterpret_cast<const char*>(data), size});
  MESH_CHECK(parsed.problems.size() <= kMaxProblems);
  MESH_CHECK(!parsed.unreadable || (parsed.objects.empty() && !parsed.problems.empty()));
  for (const BrokenObject& broken : parsed.broken) {
    for (const ParsedObject& object : parsed.objects) {
      MESH_CHECK(key_of(object.object) != broken.key);
    }
    MESH_CHECK(broken.stand_in == nullptr || key_of(*broken.stand_in) == broken.key);
  }
  for (const Problem& problem : parsed.problems) MESH_CHECK(!problem.to_string().empty());
  return 0;
}
