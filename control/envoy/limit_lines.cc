#include "control/envoy/limit_lines.h"

namespace mesh::control {

std::expected<std::vector<std::string_view>, std::string> limit_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const auto end = text.find_first_of(";\n");
    const std::string_view line = trimmed(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (line.empty()) continue;
    if (lines.size() == kLimitLinesMax) {
      return std::unexpected("more than " + std::to_string(kLimitLinesMax) + " lines");
    }
    lines.push_back(line);
  }
  if (lines.empty()) return std::unexpected("says nothing");
  return lines;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r";
  const auto first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

}  // namespace mesh::control
