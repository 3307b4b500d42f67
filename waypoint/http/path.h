#pragma once
// normalize(): the one spelling of a request's path that policy, routing and the backend all see.
//
// What two readers could take for two different paths is refused rather than guessed at. The rest
// is RFC 3986 section 6.2: escapes of unreserved characters are decoded, dot segments removed, and
// '\' is '/' (as browsers and Envoy have it). The query is left as it is.

#include <cstdint>
#include <string>
#include <string_view>

namespace mesh::waypoint::http {

enum class PathFault : std::uint8_t {
  kNone,
  kNotAbsolute,   // neither "/…" nor, for OPTIONS, "*"
  kBadCharacter,  // a control character, a space, 0x7f, or %00
  kFragment,      // '#'
  kBadEscape,     // '%' without two hex digits
  kAmbiguous,     // dot segments for some readers: "..;x", "..%2f", overlong UTF-8
  kEscapedSlash,  // EscapedSlashes::kReject
  kTooLong,
};
std::string_view path_fault_name(PathFault fault);

enum class EscapedSlashes : std::uint8_t {
  kKeep,
  kReject,
  kUnescapeAndRedirect,
  kUnescapeAndForward
};

struct PathOptions {
  bool normalize = true;  // false: only checked
  bool merge_slashes = false;
  EscapedSlashes escaped_slashes = EscapedSlashes::kKeep;
};

struct NormalPath {
  PathFault fault = PathFault::kNone;
  std::string path = {};  // with the query
  bool redirect = false;  // kUnescapeAndRedirect, and something was: answer 307 to `path`
};

inline constexpr std::size_t kMaxPathBytes = 60 * 1024;

// `target`: the path with the query, as received. `method` decides whether "*" is one.
// normalize(normalize(x)) is normalize(x). Cost: linear.
NormalPath normalize(std::string_view target, std::string_view method, const PathOptions& options);

}  // namespace mesh::waypoint::http
