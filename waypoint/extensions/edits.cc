#include "waypoint/extensions/edits.h"

#include <algorithm>

#include "waypoint/http/request.h"

namespace mesh::waypoint::extensions {

bool is_protected_header(std::string_view name) {
  static constexpr std::string_view kNames[] = {
      "connection", "content-length",    "expect", "host", "keep-alive", "proxy-connection",
      "te",         "transfer-encoding", "upgrade"};
  return name.starts_with(':') || std::ranges::find(kNames, name) != std::end(kNames);
}

bool is_good_edit(const HeaderEdit& edit) {
  return http::is_header_name(edit.name) && http::is_header_value(edit.value) &&
         !is_protected_header(edit.name);
}

void apply(const HeaderEdit& edit, h2::Headers& headers) {
  using Action = HeaderEdit::Action;
  const bool present = h2::find_header(headers, edit.name).has_value();
  switch (edit.action) {
    case Action::kSet:
      return http::set_header(headers, edit.name, edit.value);
    case Action::kAppend:
      return http::add_header(headers, edit.name, edit.value);
    case Action::kAddIfAbsent:
      if (!present) http::add_header(headers, edit.name, edit.value);
      return;
    case Action::kSetIfPresent:
      if (present) http::set_header(headers, edit.name, edit.value);
      return;
    case Action::kAppendIfPresent:
      if (present) http::add_header(headers, edit.name, edit.value);
      return;
  }
}

void apply(const std::vector<HeaderEdit>& edits, h2::Headers& headers) {
  for (const HeaderEdit& edit : edits) apply(edit, headers);
}

}  // namespace mesh::waypoint::extensions
