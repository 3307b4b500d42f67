#include "cli/control_client.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::cli {

TEST_CASE("an answer that is not control's is an error") {
  CHECK_FALSE(parse_sync(""));
  CHECK_FALSE(parse_sync("[]"));
  CHECK_FALSE(parse_sync("{}"));
  CHECK_FALSE(parse_sync(R"({"version": 1, "nodes": [1]})"));
}

TEST_CASE("a query's text is encoded") { CHECK(url_encoded("a/b &c") == "a%2Fb%20%26c"); }

}  // namespace mesh::cli
