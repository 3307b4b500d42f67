#pragma once
// A program's settings out of its environment. Read before its flags, so that those win.

#include <cstddef>
#include <functional>
#include <string>

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

}  // namespace mesh
