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

}  // namespace mesh::cli
