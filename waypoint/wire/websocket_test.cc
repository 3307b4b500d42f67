#include "waypoint/wire/websocket.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::waypoint::wire {
namespace {

TEST_CASE("the answer to a key is the one of RFC 6455") {
  CHECK(websocket_accept("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

TEST_CASE("a key of our own is 16 bytes in base64") {
  const std::uint64_t random[2] = {1, 2};
  CHECK(websocket_key(random) == "AQAAAAAAAAACAAAAAAAAAA==");
}

}  // namespace
}  // namespace mesh::waypoint::wire
