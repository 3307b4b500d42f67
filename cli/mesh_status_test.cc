#include "cli/mesh_status.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::cli {

TEST_CASE("durations") {
  using std::chrono::milliseconds;
  CHECK(parse_duration("30") == milliseconds(30000));
  CHECK(parse_duration("30s") == milliseconds(30000));
  CHECK(parse_duration("2m") == milliseconds(120000));
  CHECK(parse_duration("500ms") == milliseconds(500));
  CHECK(parse_duration("24h") == milliseconds(86400000));
  for (const char* text : {"", "s", "1d", "-1s", "1.5s", "25h", "99999999999s"}) {
    INFO(text);
    CHECK_FALSE(parse_duration(text));
  }
}

}  // namespace mesh::cli
