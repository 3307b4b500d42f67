// What a token issuer's server answers: taken as a set of keys, it can be read again.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "control/jwks/keys.h"
#include "mesh/base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mesh::control::jwks;
  const auto keys = read_key_set({reinterpret_cast<const char*>(data), size});
  if (!keys) {
    MESH_CHECK(!keys.error().empty());
    return 0;
  }
  const auto again = read_key_set(*keys);
  MESH_CHECK(again && *again == *keys);
  return 0;
}
