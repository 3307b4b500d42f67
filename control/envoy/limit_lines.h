#pragma once
// What the annotations that say limits are written in: lines that end at a newline or a semicolon.

#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace mesh::control {

inline constexpr std::size_t kLimitLinesMax = 32;

// Without space around them, and without empty ones. Errors: too many, or none.
std::expected<std::vector<std::string_view>, std::string> limit_lines(std::string_view text);

// Without the space around it.
std::string_view trimmed(std::string_view text);

}  // namespace mesh::control
