// A mesh's configuration: what is taken of it is whole, and what is not has a problem that says so.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mesh/base/check.h"
#include "mesh/manifest/mesh_config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mesh::manifest;
  const ParsedMeshConfig parsed =
      parse_mesh_config("fuzz.yaml", {reinterpret_cast<const char*>(data), size});
  for (const Problem& problem : parsed.problems) MESH_CHECK(!problem.message.empty());
  MESH_CHECK(parsed.config.authorizers.size() <= kProvidersMax);
  if (!parsed.problems.empty()) return 0;
  for (const AuthzProvider& one : parsed.config.authorizers) {
    MESH_CHECK(!one.name.empty() && !one.host.empty() && one.port != 0);
    MESH_CHECK(parsed.config.authorizer(one.name) != nullptr);
  }
  return 0;
}
