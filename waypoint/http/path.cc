#include "waypoint/http/path.h"

#include <vector>

namespace mesh::waypoint::http {

namespace {

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// RFC 3986 section 2.3.
bool is_unreserved(int c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte <= 0x20 || byte == 0x7f;
}

// The escape at `at`, or -1.
int escape(std::string_view text, std::size_t at) {
  if (at + 2 >= text.size() || text[at] != '%') return -1;
  const int high = hex(text[at + 1]);
  const int low = hex(text[at + 2]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

// '.', '/' and '\' as some decoders still read two bytes: %c0%ae, %c0%af, %c1%9c.
bool is_overlong(std::string_view path, std::size_t at) {
  const int first = escape(path, at);
  const int second = first == 0xc0 || first == 0xc1 ? escape(path, at + 3) : -1;
  return (first == 0xc0 && (second == 0xae || second == 0xaf)) || (first == 0xc1 && second == 0x9c);
}

struct Decoded {
  PathFault fault = PathFault::kNone;
  std::string path = {};
  bool had_escaped_slash = false;
};

// What no path may hold (RFC 3986 section 3.3) is escaped, as other readers do it.
void append_literal(std::string& path, char c) {
  constexpr std::string_view kEscaped = "\"<>^`{|}";
  if (!kEscaped.contains(c)) {
    path += c;
    return;
  }
  constexpr std::string_view kHex = "0123456789ABCDEF";
  path += {'%', kHex[static_cast<unsigned char>(c) >> 4], kHex[static_cast<unsigned char>(c) & 15]};
}

// Decodes what is unreserved (and slashes, if asked) and turns '\' into '/'.
Decoded decode(std::string_view path, bool decode_slashes) {
  Decoded decoded;
  decoded.path.reserve(path.size());
  for (std::size_t at = 0; at < path.size(); ++at) {
    const char c = path[at];
    if (c == '\\') {
      decoded.path += '/';
      continue;
    }
    if (c != '%') {
      append_literal(decoded.path, c);
      continue;
    }
    const int byte = escape(path, at);
    if (byte < 0) return {.fault = PathFault::kBadEscape};
    if (byte == 0) return {.fault = PathFault::kBadCharacter};
    if (is_overlong(path, at)) return {.fault = PathFault::kAmbiguous};
    const bool slash = byte == '/' || byte == '\\';
    decoded.had_escaped_slash |= slash;
    if (slash && decode_slashes) {
      decoded.path += '/';
    } else if (is_unreserved(byte)) {
      decoded.path += static_cast<char>(byte);
    } else {
      decoded.path += path.substr(at, 3);
    }
    at += 2;
  }
  return decoded;
}

// Dot segments, for a reader that drops ";parameters" (Tomcat, Jetty).
bool hides_dots(std::string_view segment) {
  const auto semicolon = segment.find(';');
  if (semicolon == std::string_view::npos) return false;
  const std::string_view name = segment.substr(0, semicolon);
  return name == "." || name == "..";
}

// Dot segments, for a reader that decodes %2f and %5c.
bool hides_slashed_dots(std::string_view segment) {
  std::size_t from = 0;
  bool several = false;
  for (std::size_t at = 0; at <= segment.size(); ++at) {
    const int byte = at < segment.size() ? escape(segment, at) : '/';
    if (byte != '/' && byte != '\\') continue;
    const std::string_view part = segment.substr(from, at - from);
    several |= at < segment.size();
    if (several && (part == "." || part == ".." || hides_dots(part))) return true;
    from = at + 3;
    at += 2;
  }
  return false;
}

// RFC 3986 section 5.2.4; ".." at the root stays there. False: ambiguous.
bool remove_dots(std::string_view path, bool merge_slashes, std::string& into) {
  std::vector<std::string_view> kept;
  bool ends_open = false;  // the path ends with a segment that vanished: it keeps its last slash
  for (std::size_t at = 1; at <= path.size();) {
    const auto end = std::min(path.find('/', at), path.size());
    const std::string_view segment = path.substr(at, end - at);
    const bool last = end == path.size();
    at = end + 1;
    if (hides_dots(segment) || hides_slashed_dots(segment)) return false;
    if (segment == "." || segment == "..") {
      if (segment == ".." && !kept.empty()) kept.pop_back();
      ends_open = last;
    } else if (segment.empty() && merge_slashes && !last) {
      continue;
    } else {
      kept.push_back(segment);
    }
  }
  into.clear();
  for (const std::string_view segment : kept) {
    into += '/';
    into += segment;
  }
  if (ends_open || into.empty()) into += '/';
  return true;
}

PathFault check_characters(std::string_view target) {
  for (const char c : target) {
    if (is_control(c)) return PathFault::kBadCharacter;
    if (c == '#') return PathFault::kFragment;
  }
  return PathFault::kNone;
}

}  // namespace

std::string_view path_fault_name(PathFault fault) {
  switch (fault) {
    case PathFault::kNone:
      return "none";
    case PathFault::kNotAbsolute:
      return "path_not_absolute";
    case PathFault::kBadCharacter:
      return "path_bad_character";
    case PathFault::kFragment:
      return "path_fragment";
    case PathFault::kBadEscape:
      return "path_bad_escape";
    case PathFault::kAmbiguous:
      return "path_ambiguous";
    case PathFault::kEscapedSlash:
      return "path_escaped_slash";
    case PathFault::kTooLong:
      return "path_too_long";
  }
  return "none";
}

NormalPath normalize(std::string_view target, std::string_view method, const PathOptions& options) {
  if (target.size() > kMaxPathBytes) return {.fault = PathFault::kTooLong};
  if (target == "*" && method == "OPTIONS") return {.path = "*"};
  if (target.empty() || target[0] != '/') return {.fault = PathFault::kNotAbsolute};
  if (const PathFault fault = check_characters(target); fault != PathFault::kNone) {
    return {.fault = fault};
  }
  const auto mark = std::min(target.find('?'), target.size());
  const std::string_view query = target.substr(mark);
  const bool unescape = options.escaped_slashes == EscapedSlashes::kUnescapeAndRedirect ||
                        options.escaped_slashes == EscapedSlashes::kUnescapeAndForward;
  Decoded decoded = decode(target.substr(0, mark), unescape);
  if (decoded.fault != PathFault::kNone) return {.fault = decoded.fault};
  if (decoded.had_escaped_slash && options.escaped_slashes == EscapedSlashes::kReject) {
    return {.fault = PathFault::kEscapedSlash};
  }
  NormalPath normal{.redirect = decoded.had_escaped_slash &&
                                options.escaped_slashes == EscapedSlashes::kUnescapeAndRedirect};
  if (!options.normalize && !unescape) {
    // Nothing is changed, and so nothing may be in it that a reader would change.
    std::string dotless;
    if (!remove_dots(decoded.path, false, dotless)) return {.fault = PathFault::kAmbiguous};
    normal.path = target;
    return normal;
  }
  if (!remove_dots(decoded.path, options.merge_slashes, normal.path)) {
    return {.fault = PathFault::kAmbiguous};
  }
  normal.path += query;
  return normal;
}

}  // namespace mesh::waypoint::http
