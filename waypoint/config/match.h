#pragma once
// What a configuration compares with a request: texts, headers, query parameters, paths, fractions.
// Values; a default one matches nothing.

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mesh/net/address.h"
#include "waypoint/config/regex.h"

namespace mesh::waypoint::config {

struct StringMatch {
  enum class Kind : std::uint8_t { kNothing, kExact, kPrefix, kSuffix, kContains, kRegex };
  Kind kind = Kind::kNothing;
  std::string value = {};    // as configured; lower case when ignore_case
  bool ignore_case = false;  // ASCII; never with kRegex
  RegexPtr regex = {};       // kRegex

  bool matches(std::string_view text) const;
  // "prefix \"/api\"": for explanations.
  std::string to_string() const;

  static StringMatch exact(std::string_view value);
  static StringMatch prefix(std::string_view value);
};

// Envoy's HeaderMatcher. A header that occurs several times is its values joined by ','.
struct HeaderMatch {
  enum class Kind : std::uint8_t { kPresent, kString, kRange };
  std::string name = {};  // lower case; pseudo-headers ":authority", ":method", ":path", ":scheme"
  Kind kind = Kind::kString;
  bool present = true;  // kPresent: false asks for absence
  StringMatch text = {};
  std::int64_t range_start = 0;  // kRange: [start, end), a decimal number
  std::int64_t range_end = 0;
  bool invert = false;
  // An absent header is "" (and then invert applies); else an absent one never matches but by
  // `present` and by `invert` of kPresent. See holds_for().
  bool missing_is_empty = false;

  // `value`: none when the header is absent.
  bool holds_for(std::optional<std::string_view> value) const;
  std::string to_string() const;
};

struct QueryMatch {
  std::string name = {};
  bool presence_only = false;
  StringMatch text = {};

  bool holds_for(std::optional<std::string_view> value) const;
};

// Envoy's UriTemplateMatch: "/a/*/b/**". '*' is one segment, '**' any rest (also none, only at the
// end but for a suffix of literals), "{name=...}" captures; compiled into a Regex.
struct PathTemplate {
  std::string text = {};
  RegexPtr regex = {};
  std::vector<std::string> variables = {};

  // Errors: kMalformed, kTooLarge.
  static Result<PathTemplate> compile(std::string_view text);
  bool matches(std::string_view path) const;  // without the query
};

struct PathMatch {
  enum class Kind : std::uint8_t {
    kNothing,
    kExact,
    kPrefix,
    kSegmentPrefix,  // "/v2" is a prefix of "/v2" and "/v2/x", not of "/v2example"
    kRegex,
    kTemplate,
    kConnect,  // any CONNECT request, and nothing else
  };
  Kind kind = Kind::kNothing;
  std::string value = {};  // lower case when !case_sensitive
  bool case_sensitive = true;
  RegexPtr regex = {};
  PathTemplate path_template = {};

  // `path` is without query and fragment.
  bool matches(std::string_view path) const;
};

// numerator in 100, 10 000 or 1 000 000.
struct Fraction {
  std::uint32_t numerator = 0;
  std::uint32_t denominator = 100;

  // `draw`: uniform over all of uint64. 0 never, numerator >= denominator always.
  bool hit(std::uint64_t draw) const { return draw % denominator < numerator; }
  friend bool operator==(const Fraction&, const Fraction&) = default;
};

// ASCII only: headers and hostnames.
std::string to_lower(std::string_view text);
bool equals_ignoring_case(std::string_view a, std::string_view b);

}  // namespace mesh::waypoint::config
