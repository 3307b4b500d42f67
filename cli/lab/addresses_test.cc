#include "cli/lab/addresses.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::cli::lab {

TEST_CASE("an address rests as long as possible before it has another owner") {
  PodAddresses pool(3);
  const auto first = pool.take();
  REQUIRE(first);
  CHECK(*first == std::vector<std::string>{"10.244.3.2", "fd00:10:244:3::2"});
  pool.give_back(*first);
  CHECK(pool.take()->at(0) == "10.244.3.3");
  for (int i = 4; i <= 254; ++i) REQUIRE(pool.take());
  CHECK(pool.take()->at(0) == "10.244.3.2");  // wrapped
  CHECK_FALSE(pool.take());                   // all in use
}

TEST_CASE("service addresses keep clear of those that manifests name") {
  ServiceAddresses pool;
  pool.reserve("10.96.1.1");
  CHECK(pool.take_v4() == "10.96.1.2");
  CHECK(pool.take_v6() == "fd00:10:96::101");
  pool.give_back("10.96.1.1");
  CHECK(pool.take_v4() == "10.96.1.1");
}

}  // namespace mesh::cli::lab
