#pragma once
// Edits: changes of headers that a service asks for, checked before any of them is made.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mesh/h2/message.h"

namespace mesh::waypoint::extensions {

struct HeaderEdit {
  enum class Action : std::uint8_t {
    kSet,     // the only value from now on
    kAppend,  // one more value
    kAddIfAbsent,
    kSetIfPresent,
    kAppendIfPresent,
  };
  std::string name = {};  // lower case
  std::string value = {};
  Action action = Action::kSet;

  friend bool operator==(const HeaderEdit&, const HeaderEdit&) = default;
};

// Of one answer.
inline constexpr std::size_t kEditsMax = 256;

// Not to be changed by a service: pseudo-headers, host, and what frames a message or its
// connection.
bool is_protected_header(std::string_view name);
// A name and a value that a header may have, and not protected.
bool is_good_edit(const HeaderEdit& edit);

void apply(const HeaderEdit& edit, h2::Headers& headers);
void apply(const std::vector<HeaderEdit>& edits, h2::Headers& headers);

}  // namespace mesh::waypoint::extensions
