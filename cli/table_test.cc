#include "cli/table.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::cli {

TEST_CASE("columns are as wide as their widest cell, and a peer's text cannot drive a terminal") {
  CHECK(table({{"A", "B"}, {"long", ""}, {"\x1b[2J", "x"}}) ==
        "A     B\n"
        "long  -\n"
        "?[2J  x\n");
}

}  // namespace mesh::cli
