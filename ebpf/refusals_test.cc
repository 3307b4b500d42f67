#include "ebpf/refusals.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::ebpf {
namespace {

using Kind = Refusals::Kind;

TEST_CASE("limit: what is refused is logged five times a second, and all of it counted") {
  Refusals refusals;
  const Refusals::Time start = std::chrono::steady_clock::now();
  unsigned lines = 0;
  for (int i = 0; i < 1000; ++i) lines += refusals.note(Kind::kRequest, "nonsense", start) ? 1 : 0;
  CHECK(lines == kRefusalLinesPerSecond);
  CHECK(refusals.count(Kind::kRequest) == 1000);
  // Another kind is not concerned.
  CHECK(refusals.note(Kind::kCaller, "stranger", start) == "stranger");
  CHECK(refusals.count(Kind::kCaller) == 1);
  CHECK(refusals.count(Kind::kZtunnel) == 0);
  const auto later = start + std::chrono::seconds(1);
  CHECK(refusals.note(Kind::kRequest, "again", later) == "again (995 more were not logged)");
  CHECK(refusals.note(Kind::kRequest, "again", later) == "again");
}

TEST_CASE("what a peer sent can forge no line of the log") {
  Refusals refusals;
  const auto line = refusals.note(Kind::kRequest, "x\n2026 info \x1b[2J\xff", {});
  CHECK(line == "x?2026 info ?[2J?");
  const auto longest = refusals.note(Kind::kRequest, std::string(100'000, 'x'), {});
  REQUIRE(longest);
  CHECK(longest->size() <= 400);
}

}  // namespace
}  // namespace mesh::ebpf
