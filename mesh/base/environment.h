#pragma once
// A program's settings out of its environment. Read before its flags, so that those win.

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace mesh {

// As getenv(): null when there is no such variable.
using Environment = std::function<const char*(const char* name)>;

// The first name is the peer's whose environment we take; the second, or null, an older or a more
// general one, which counts where the first is not set.
template <class Settings>
struct Variable {
  const char* name;
  const char* alternative;
  std::string Settings::* field;
};

template <class Settings, std::size_t N>
void read_environment(Settings& settings, const Variable<Settings> (&variables)[N],
                      const Environment& environment) {
  for (const Variable<Settings>& variable : variables) {
    const char* value = environment(variable.name);
    if (value == nullptr && variable.alternative != nullptr) {
      value = environment(variable.alternative);
    }
    if (value != nullptr) settings.*variable.field = value;
  }
}

// The variables whose names begin with `prefix`, by what follows it. `all`: as environ; null is
// none.
inline std::map<std::string, std::string> variables_with(std::string_view prefix,
                                                         const char* const* all) {
  std::map<std::string, std::string> found;
  for (; all != nullptr && *all != nullptr; ++all) {
    const std::string_view variable(*all);
    const std::size_t equals = variable.find('=');
    if (equals == variable.npos || !variable.substr(0, equals).starts_with(prefix)) continue;
    found.emplace(variable.substr(prefix.size(), equals - prefix.size()),
                  variable.substr(equals + 1));
  }
  return found;
}

}  // namespace mesh
