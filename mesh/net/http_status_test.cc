#include "mesh/net/http_status.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::net {
namespace {

TEST_CASE("a status code has its reason phrase") {
  CHECK(reason_phrase(100) == "Continue");
  CHECK(reason_phrase(200) == "OK");
  CHECK(reason_phrase(431) == "Request Header Fields Too Large");
  CHECK(reason_phrase(511) == "Network Authentication Required");
}

TEST_CASE("a code that the registry does not name has none") {
  CHECK(reason_phrase(99) == "Unknown");
  CHECK(reason_phrase(299) == "Unknown");
  CHECK(reason_phrase(600) == "Unknown");
  CHECK(reason_phrase(-1) == "Unknown");
}

}  // namespace
}  // namespace mesh::net
