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
    CHECK(waiting_for({{.name = "c", .sync = *sync, .wanted = 7}}) == row.waiting_for);
  }
}

TEST_CASE("waypoints are waited for, whether nodes have pods or not") {
  const auto sync = parse_sync(R"({"version":7,"nodes":[],"waypoints":[
    {"waypoint":"shop/w-1","connected":true,"ackedVersion":7,"types":{"CDS":"SYNCED"}},
    {"waypoint":"shop/w-2","connected":true,"ackedVersion":6,"types":{"RDS":"STALE"}},
    {"waypoint":"shop/w-3","connected":true,"ackedVersion":6,"lastNack":"bad route"},
    {"waypoint":"shop/w-4","connected":false}]})");
  REQUIRE(sync);
  CHECK(waiting_for({{.name = "c", .sync = *sync, .wanted = 7}}) ==
        "waypoint shop/w-2 (has version 6 of 7), waypoint shop/w-3 (has version 6 of 7; refused: "
        "bad route), waypoint shop/w-4 (not connected)");
  CHECK(sync->waypoints[1].types.at("RDS") == "STALE");
  // Another replica has the stream of the last one.
  const auto other =
      parse_sync(R"({"version":3,"waypoints":[{"waypoint":"shop/w-4","connected":true,)"
                 R"("ackedVersion":3}]})");
  REQUIRE(other);
  const auto states = waypoint_states(
      {{.name = "c", .sync = *sync, .wanted = 7}, {.name = "d", .sync = *other, .wanted = 3}});
  REQUIRE(states.size() == 4);
  CHECK((states[3].replica == "d" && states[3].has_it()));
}

TEST_CASE("of two replicas the one that a node is connected to counts") {
  const auto says = [](const char* name, const char* json, std::uint64_t wanted) {
    return ReplicaSync{.name = name, .sync = parse_sync(json), .wanted = wanted};
  };
  const auto here =
      says("r1",
           R"({"version":7,"nodes":[{"node":"a","connected":true,"ackedVersion":7,"pods":1},)"
           R"({"node":"b","pods":1}]})",
           7);
  const auto there = says("r2",
                          R"({"version":3,"nodes":[{"node":"a","pods":1},)"
                          R"({"node":"b","connected":true,"ackedVersion":2,"pods":1}]})",
                          3);
  CHECK(waiting_for({here, there}) == "b (has version 2 of 3)");
  CHECK(waiting_for({here}) == "b (not connected)");
  const auto gone = ReplicaSync{.name = "r3", .sync = problem("r3 does not answer: no")};
  CHECK(waiting_for({here, there, gone}) == "r3 does not answer: no, b (has version 2 of 3)");
  const auto states = node_states({there, here});
  REQUIRE(states.size() == 2);
  CHECK((states[0].replica == "r1" && states[0].has_it()));
  CHECK((states[1].replica == "r2" && !states[1].has_it()));
  // Streams to both: the one that lacks it counts.
  const auto both =
      says("r4",
           R"({"version":5,"nodes":[{"node":"a","connected":true,"ackedVersion":4,"pods":1}]})", 5);
  CHECK(waiting_for({here, both}).starts_with("a (has version 4 of 5)"));
}

}  // namespace mesh::cli
