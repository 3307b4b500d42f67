#include "mesh/xds/backoff.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::xds {
namespace {

using namespace std::chrono_literals;
using Outcome = Backoff::Outcome;

TEST_CASE("the wait doubles from 10 ms to 15 s, at 4 s when nobody is there") {
  constexpr std::uint64_t kLongest = 0;  // of the random half
  Backoff refused;
  Backoff alone;
  io::Duration expected = 5ms;
  for (int i = 0; i < 20; ++i) {
    CHECK(refused.next(Outcome::kRefusedUs, kLongest) == std::min<io::Duration>(expected, 7500ms));
    CHECK(alone.next(Outcome::kNoConnection, kLongest) == std::min<io::Duration>(expected, 2000ms));
    expected *= 2;
  }
  for (std::uint64_t random = 0; random < 1'000'000'000; random += 99'999'937) {
    CHECK(refused.next(Outcome::kRefusedUs, random) <= 15s);
    CHECK(alone.next(Outcome::kNoConnection, random) <= 4s);
  }
}

TEST_CASE("a stream that brought something starts over, but is never redialled at once") {
  Backoff backoff;
  for (int i = 0; i < 10; ++i) backoff.next(Outcome::kRefusedUs, 0);
  for (std::uint64_t random = 0; random < 100; ++random) {
    const io::Duration wait = backoff.next(Outcome::kProgress, random * 1'000'003);
    CHECK(wait >= 5ms);
    CHECK(wait <= 10ms);
  }
}

}  // namespace
}  // namespace mesh::xds
