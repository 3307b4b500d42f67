#include "control/envoy/local_limits.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::control {
namespace {

using std::chrono::seconds;

TEST_CASE("a local limit is a rule, a header and a rate") {
  const auto limits =
      parse_local_limits("100/m\n  search: 5/30s ; x-tier=free 10/h\na b: x-a=b=c 1/s");
  REQUIRE(limits);
  REQUIRE(limits->size() == 4);
  CHECK(((*limits)[0].rule.empty() && (*limits)[0].header.empty()));
  CHECK(((*limits)[0].count == 100 && (*limits)[0].interval == seconds(60)));
  CHECK(((*limits)[1].rule == "search" && (*limits)[1].interval == seconds(30)));
  CHECK(((*limits)[2].header == "x-tier" && (*limits)[2].value == "free"));
  CHECK((*limits)[2].interval == seconds(3600));
  CHECK(((*limits)[3].rule == "a b" && (*limits)[3].value == "b=c"));
}

TEST_CASE("what is no local limit is refused, whole") {
  for (const char* bad :
       {"", " \n;", "100", "/s", "0/s", "-1/s", "1/0s", "1/d", "1/", "1/99999h", "1000001/s",
        "1.5/s", "x-tier 5/s", "=v 5/s", "x-tier= 5/s", "x tier=v 5/s", ": 5/s", "5/s; nonsense"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_local_limits(bad));
  }
  std::string many;
  for (int i = 0; i < 33; ++i) many += "1/s;";
  CHECK_FALSE(parse_local_limits(many));
}

}  // namespace
}  // namespace mesh::control
