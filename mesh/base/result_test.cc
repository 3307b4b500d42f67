#include "mesh/base/result.h"

#include <cerrno>
#include <set>
#include <string>

#include <catch2/catch_test_macros.hpp>

namespace mesh {
namespace {

Result<int> half(int number) {
  if (number % 2 != 0) return failed(Reason::kMalformed, "half");
  return number / 2;
}

Result<int> quarter(int number) {
  TRY(const int once, half(number));
  TRY(const int twice, half(once));
  return twice;
}

TEST_CASE("every reason has a name of its own") {
  std::set<std::string> names;
  for (int i = 0; i < kReasonCount; ++i) names.emplace(reason_name(static_cast<Reason>(i)));
  CHECK(names.size() == kReasonCount);
  CHECK(!names.contains(""));
  CHECK(reason_name(Reason::kPassthroughRefused) == "passthrough_refused");
  CHECK(reason_name(Reason::kDenied) == "denied");
}

TEST_CASE("TRY takes the value or leaves with the error") {
  CHECK(quarter(8) == 2);
  const Result<int> odd = quarter(6);
  REQUIRE(!odd.has_value());
  CHECK(odd.error().reason == Reason::kMalformed);
  CHECK(std::string(odd.error().during) == "half");
}

TEST_CASE("an errno becomes the reason an operator would look for") {
  CHECK(failed_with_errno(ECONNREFUSED, "connect").error().reason == Reason::kRefused);
  CHECK(failed_with_errno(EMFILE, "accept").error().reason == Reason::kExhausted);
  CHECK(failed_with_errno(EPIPE, "send").error().reason == Reason::kPeerReset);
  CHECK(failed_with_errno(EIO, "read").error().os_errno == EIO);
}

}  // namespace
}  // namespace mesh
