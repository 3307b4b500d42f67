#include "waypoint/flags.h"

namespace mesh::waypoint {

std::string_view flag_name(Flag flag) {
  static constexpr std::string_view kNames[kFlagCount] = {
      "UH", "UF", "UO", "NR",   "URX",  "NC", "DC",  "LR",  "UR",    "UC", "UT",  "DT",
      "DI", "FI", "RL", "RLSE", "UAEX", "SI", "DPE", "UPE", "UMSDR", "OM", "NFCF"};
  return kNames[static_cast<int>(flag)];
}

std::uint32_t Flags::envoy_bits() const {
  static constexpr std::uint8_t kBits[kFlagCount] = {1, 5,  7,  8,  15, 24, 14, 3,  4,  6,  2, 22,
                                                     9, 10, 11, 13, 12, 16, 18, 23, 19, 25, 21};
  std::uint32_t bits = 0;
  for (int i = 0; i < kFlagCount; ++i) {
    if (has(static_cast<Flag>(i))) bits |= 1u << kBits[i];
  }
  return bits;
}

std::string Flags::to_string() const {
  std::string text;
  for (int i = 0; i < kFlagCount; ++i) {
    if (!has(static_cast<Flag>(i))) continue;
    if (!text.empty()) text.push_back(',');
    text.append(flag_name(static_cast<Flag>(i)));
  }
  return text.empty() ? "-" : text;
}

}  // namespace mesh::waypoint
