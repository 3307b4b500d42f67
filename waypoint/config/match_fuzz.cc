// Regular expressions and path templates of a configuration, against texts of a stranger.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mesh/base/check.h"
#include "waypoint/config/match.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mesh::waypoint::config;
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const auto split = all.find('\n');
  if (split == std::string_view::npos) return 0;
  const std::string_view pattern = all.substr(0, split);
  const std::string_view text = all.substr(split + 1);
  if (const auto regex = Regex::compile(pattern)) {
    (*regex)->matches(text);
    if ((*regex)->accepts_substitution("\\0")) (*regex)->replace_all(text, "\\0");
  }
  if (const auto made = PathTemplate::compile(pattern)) {
    // A template without operators is a literal.
    if (!pattern.contains('*') && !pattern.contains('{')) MESH_CHECK(made->matches(pattern));
    made->matches(text);
  }
  return 0;
}
