#include "mesh/tls/digest.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::tls {
namespace {

TEST_CASE("SHA-1 of FIPS 180's example", "[digest]") {
  const std::array<std::uint8_t, 20> wanted = {0xa9, 0x99, 0x3e, 0x36, 0x47, 0x06, 0x81,
                                               0x6a, 0xba, 0x3e, 0x25, 0x71, 0x78, 0x50,
                                               0xc2, 0x6c, 0x9c, 0xd0, 0xd8, 0x9d};
  CHECK(sha1("abc") == wanted);
}

}  // namespace
}  // namespace mesh::tls
