#include "ebpf/refusals.h"

#include <algorithm>

namespace mesh::ebpf {

namespace {
constexpr std::size_t kLineMax = 360;
}

std::optional<std::string> Refusals::note(Kind kind, std::string_view what, Time now) {
  Tally& tally = tallies_[static_cast<std::size_t>(kind)];
  ++tally.count;
  if (now - tally.second >= std::chrono::seconds(1)) {
    tally.second = now;
    tally.lines = 0;
  }
  if (tally.lines >= kRefusalLinesPerSecond) {
    ++tally.left_out;
    return std::nullopt;
  }
  ++tally.lines;
  std::string line(what.substr(0, kLineMax));
  std::ranges::replace_if(line, [](char c) { return c < ' ' || c > '~'; }, '?');
  if (tally.left_out > 0) {
    line += " (" + std::to_string(tally.left_out) + " more were not logged)";
    tally.left_out = 0;
  }
  return line;
}

}  // namespace mesh::ebpf
