#include "cli/control_client.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::cli {

TEST_CASE("who is waited for: nodes with pods that have not applied the version") {
  struct Row {
    const char* nodes;
    const char* waiting_for;
  };
  for (const Row& row : {
           Row{"", ""},
           Row{R"({"node":"a","connected":true,"ackedVersion":7,"pods":1})", ""},
           Row{R"({"node":"a","connected":true,"ackedVersion":8,"pods":1})", ""},
           Row{R"({"node":"a","connected":true,"ackedVersion":6,"pods":1})",
               "a (has version 6 of 7)"},
           Row{R"({"node":"a","connected":true,"ackedVersion":6,"pods":1,"lastNack":"no"})",
               "a (has version 6 of 7; refused: no)"},
           Row{R"({"node":"a","connected":false,"ackedVersion":7,"pods":1})", "a (not connected)"},
           Row{R"({"node":"a","connected":false,"ackedVersion":0,"pods":0})", ""},
           Row{R"({"node":"a","pods":2},{"node":"b","pods":1})",
               "a (not connected), b (not connected)"},
       }) {
    INFO(row.nodes);
    const auto sync = parse_sync(std::string(R"({"version":7,"nodes":[)") + row.nodes + "]}");
    REQUIRE(sync);
    CHECK(sync->waiting_for() == row.waiting_for);
  }
}

TEST_CASE("an answer that is not control's is an error") {
  CHECK_FALSE(parse_sync(""));
  CHECK_FALSE(parse_sync("[]"));
  CHECK_FALSE(parse_sync("{}"));
  CHECK_FALSE(parse_sync(R"({"version": 1, "nodes": [1]})"));
}

TEST_CASE("a query's text is encoded") { CHECK(url_encoded("a/b &c") == "a%2Fb%20%26c"); }

}  // namespace mesh::cli
