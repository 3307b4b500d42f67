#include "mesh/xds/backoff.h"

#include <algorithm>

namespace mesh::xds {
namespace {

constexpr io::Duration kFirst = std::chrono::milliseconds(10);
constexpr io::Duration kNoConnectionMax = std::chrono::seconds(4);
constexpr io::Duration kRefusedMax = std::chrono::seconds(15);
constexpr unsigned kDoublingsMax = 16;

}  // namespace

io::Duration Backoff::next(Outcome outcome, std::uint64_t random) {
  if (outcome == Outcome::kProgress) failures_ = 0;
  const io::Duration max = outcome == Outcome::kNoConnection ? kNoConnectionMax : kRefusedMax;
  const io::Duration full = std::min(kFirst * (std::int64_t{1} << failures_), max);
  if (outcome != Outcome::kProgress) failures_ = std::min(failures_ + 1, kDoublingsMax);
  const auto half = static_cast<std::uint64_t>((full / 2).count());
  return io::Duration(static_cast<std::int64_t>(half + random % (half + 1)));
}

}  // namespace mesh::xds
