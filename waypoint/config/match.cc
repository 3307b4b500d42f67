#include "waypoint/config/match.h"

#include <algorithm>
#include <cctype>
#include <charconv>

namespace mesh::waypoint::config {

namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

std::optional<std::int64_t> decimal(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

bool starts(std::string_view text, std::string_view value, bool fold) {
  return text.size() >= value.size() &&
         (fold ? equals_ignoring_case(text.substr(0, value.size()), value)
               : text.starts_with(value));
}

bool contains_folded(std::string_view text, std::string_view value) {
  return std::search(text.begin(), text.end(), value.begin(), value.end(),
                     [](char a, char b) { return lower(a) == lower(b); }) != text.end();
}

bool is_literal(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("-._~%!$&'()+,;:@=").contains(c);
}

void append_literal(std::string_view text, std::string& regex) {
  for (const char c : text) {
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')))
      regex += '\\';
    regex += c;
  }
}

constexpr std::string_view kOneSegment = "[^/]+";
constexpr std::string_view kAnyRest = ".*";
constexpr std::size_t kMaxTemplateVariables = 5;  // as Envoy

// One segment of a template: "*", "**", a literal, or a variable that stands for a pattern.
struct TemplateReader {
  PathTemplate& made;
  std::string regex = {};
  bool rest_seen = false;

  bool segment(std::string_view text) {
    if (text == "*" || text == "**") {
      if (rest_seen) return false;  // one operator after "**" could match anything
      rest_seen = text == "**";
      regex += rest_seen ? kAnyRest : kOneSegment;
      return true;
    }
    if (!std::ranges::all_of(text, is_literal)) return false;
    append_literal(text, regex);
    return true;
  }

  bool variable(std::string_view inside) {
    const auto equals = inside.find('=');
    const std::string_view name = inside.substr(0, equals);
    const std::string_view pattern =
        equals == std::string_view::npos ? std::string_view("*") : inside.substr(equals + 1);
    const auto part = [](char c) { return c == '_' || (is_literal(c) && !std::ispunct(c)); };
    if (name.empty() || name.size() > 16 || !std::ranges::all_of(name, part) || pattern.empty() ||
        made.variables.size() >= kMaxTemplateVariables ||
        std::ranges::find(made.variables, name) != made.variables.end()) {
      return false;
    }
    made.variables.emplace_back(name);
    regex += '(';
    for (std::size_t at = 0; at <= pattern.size();) {
      const auto slash = std::min(pattern.find('/', at), pattern.size());
      if (at != 0) regex += '/';
      if (slash == at || !segment(pattern.substr(at, slash - at))) return false;
      at = slash + 1;
    }
    regex += ')';
    return true;
  }
};

}  // namespace

std::string to_lower(std::string_view text) {
  std::string lowered(text);
  std::ranges::transform(lowered, lowered.begin(), lower);
  return lowered;
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return lower(x) == lower(y); });
}

bool StringMatch::matches(std::string_view text) const {
  switch (kind) {
    case Kind::kNothing:
      return false;
    case Kind::kExact:
      return ignore_case ? equals_ignoring_case(text, value) : text == value;
    case Kind::kPrefix:
      return starts(text, value, ignore_case);
    case Kind::kSuffix:
      return text.size() >= value.size() &&
             (ignore_case ? equals_ignoring_case(text.substr(text.size() - value.size()), value)
                          : text.ends_with(value));
    case Kind::kContains:
      return ignore_case ? contains_folded(text, value) : text.contains(value);
    case Kind::kRegex:
      return regex != nullptr && regex->matches(text);
  }
  return false;
}

std::string StringMatch::to_string() const {
  static constexpr std::string_view kNames[] = {"nothing",     "",      "prefix ", "suffix ",
                                                "containing ", "regex "};
  if (kind == Kind::kNothing) return "nothing";
  std::string text(kNames[static_cast<std::size_t>(kind)]);
  text += '"';
  text += kind == Kind::kRegex && regex != nullptr ? regex->pattern() : value;
  text += ignore_case ? "\" in any case" : "\"";
  return text;
}

StringMatch StringMatch::exact(std::string_view value) {
  return {.kind = Kind::kExact, .value = std::string(value)};
}

StringMatch StringMatch::prefix(std::string_view value) {
  return {.kind = Kind::kPrefix, .value = std::string(value)};
}

bool HeaderMatch::holds_for(std::optional<std::string_view> value) const {
  if (kind == Kind::kPresent) {
    return ((value.has_value() || missing_is_empty) == present) != invert;
  }
  // Envoy: what is absent is not compared at all, inverted or not.
  if (!value && !missing_is_empty) return false;
  const std::string_view text_of = value.value_or("");
  bool holds = false;
  if (kind == Kind::kRange) {
    const auto number = decimal(text_of);
    holds = number && *number >= range_start && *number < range_end;
  } else {
    holds = text.matches(text_of);
  }
  return holds != invert;
}

std::string HeaderMatch::to_string() const {
  std::string what = "header " + name + (invert ? " is not " : " is ");
  if (kind == Kind::kPresent) return what + (present ? "present" : "absent");
  if (kind == Kind::kRange) {
    return what + "from " + std::to_string(range_start) + " to " + std::to_string(range_end - 1);
  }
  return what + text.to_string();
}

bool QueryMatch::holds_for(std::optional<std::string_view> value) const {
  return value.has_value() && (presence_only || text.matches(*value));
}

Result<PathTemplate> PathTemplate::compile(std::string_view text) {
  PathTemplate made{.text = std::string(text)};
  TemplateReader reader{.made = made};
  if (text.empty() || text[0] != '/') return failed(Reason::kMalformed, "path template");
  if (text.size() > kMaxRegexBytes) return failed(Reason::kTooLarge, "path template");
  for (std::size_t at = 1; at <= text.size();) {
    reader.regex += '/';
    const bool variable = at < text.size() && text[at] == '{';
    const auto close = variable ? text.find('}', at) : std::string_view::npos;
    if (variable && close == std::string_view::npos) {
      return failed(Reason::kMalformed, "path template");
    }
    const auto end = std::min(text.find('/', variable ? close : at), text.size());
    // Literals after a variable in the same segment would be ambiguous; Envoy refuses them, too.
    const bool fits = variable
                          ? close + 1 == end && reader.variable(text.substr(at + 1, close - at - 1))
                          : reader.segment(text.substr(at, end - at));
    if (!fits || (at == end && end != text.size()))
      return failed(Reason::kMalformed, "path template");
    at = end + 1;
  }
  TRY(made.regex, Regex::compile(reader.regex));
  return made;
}

bool PathTemplate::matches(std::string_view path) const {
  return regex != nullptr && regex->matches(path);
}

bool PathMatch::matches(std::string_view path) const {
  switch (kind) {
    case Kind::kNothing:
      return false;
    case Kind::kExact:
      return case_sensitive ? path == value : equals_ignoring_case(path, value);
    case Kind::kPrefix:
      return starts(path, value, !case_sensitive);
    case Kind::kSegmentPrefix:
      return starts(path, value, !case_sensitive) &&
             (path.size() == value.size() || path[value.size()] == '/');
    case Kind::kRegex:
      return regex != nullptr && regex->matches(path);
    case Kind::kTemplate:
      return path_template.matches(path);
    case Kind::kConnect:
      return false;  // a matter of the method; waypoint/route looks at it
  }
  return false;
}

}  // namespace mesh::waypoint::config
