#include "cli/explain.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::cli {

TEST_CASE("what a target can be") {
  struct Row {
    const char* target;
    const char* host;  // "" is an error
    int port;
  };
  for (const Row& row : {
           Row{"cart:80", "cart", 80},
           Row{"cart.shop.svc.cluster.local:80", "cart.shop.svc.cluster.local", 80},
           Row{"10.0.0.1:6379", "10.0.0.1", 6379},
           Row{"[fd00::1]:80", "fd00::1", 80},
           Row{"shop/cart:8000", "shop/cart", 8000},
           Row{"fd00::1:80", "", 0},
           Row{"cart", "", 0},
           Row{"cart:0", "", 0},
           Row{"cart:65536", "", 0},
           Row{":80", "", 0},
       }) {
    INFO(row.target);
    const auto question = parse_question("shop/web", row.target);
    REQUIRE(question.has_value() == (row.port != 0));
    if (!question) continue;
    CHECK(question->to == row.host);
    CHECK(question->port == row.port);
  }
}

TEST_CASE("what control says about a connection") {
  const auto found = read_explanation(
      R"({"allowed":false,"decidedBy":"shop/no-web","rule":1,"reason":"denied","policies":[)"
      R"({"policy":"shop/no-web","action":"DENY","rule":1,"why":"principal","dryRun":true}],)"
      R"("endpoints":[{"workload":"shop/cart","port":8000,"healthy":false,"allowed":false}]})");
  REQUIRE(found);
  CHECK_FALSE(found->allowed);
  CHECK(found->text ==
        "decided by shop/no-web\nrule 1\nbecause denied\n"
        "  shop/no-web (DENY, dry run, rule 1): principal\n"
        "  endpoint shop/cart:8000, not ready, refused\n");
  CHECK(read_explanation(R"({"error":"no such pod"})").error() == "no such pod");
  for (const char* other : {"", "[]", "{", "no"}) {
    INFO(other);
    CHECK(read_explanation(other).error() == "/debug/explain: not what was expected");
  }
  // Members of another type are no permission.
  CHECK_FALSE(read_explanation(R"({"allowed":"yes","policies":[7],"endpoints":{}})")->allowed);
}

}  // namespace mesh::cli
