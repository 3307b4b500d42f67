#include "waypoint/config/match.h"

#include <string>

#include <catch2/catch_test_macros.hpp>

namespace mesh::waypoint::config {
namespace {

StringMatch text_match(StringMatch::Kind kind, std::string value, bool fold = false) {
  StringMatch match{.kind = kind, .value = value, .ignore_case = fold};
  if (kind == StringMatch::Kind::kRegex) match.regex = *Regex::compile(value);
  return match;
}

TEST_CASE("a text is compared as its kind says") {
  using enum StringMatch::Kind;
  struct Row {
    StringMatch::Kind kind;
    const char* value;
    bool fold;
    const char* text;
    bool matches;
  };
  for (const Row& row : {
           Row{kNothing, "", false, "", false},
           Row{kExact, "a", false, "a", true},
           Row{kExact, "a", false, "A", false},
           Row{kExact, "a", true, "A", true},
           Row{kPrefix, "/a", false, "/abc", true},
           Row{kPrefix, "/a", false, "/", false},
           Row{kPrefix, "/A", true, "/abc", true},
           Row{kSuffix, ".example", false, "x.example", true},
           Row{kSuffix, ".example", false, "example", false},
           Row{kSuffix, ".EXAMPLE", true, "x.example", true},
           Row{kContains, "b", false, "abc", true},
           Row{kContains, "B", false, "abc", false},
           Row{kContains, "B", true, "abc", true},
           Row{kContains, "", false, "", true},
           Row{kRegex, "b.*", false, "bcd", true},
           Row{kRegex, "b", false, "abc", false},
           Row{kRegex, ".+", false, "\n", true},
           Row{kRegex, ".+", false, "\xff", true},
           Row{kRegex, ".+", false, "", false},
       }) {
    INFO(row.value << " against " << row.text);
    CHECK(text_match(row.kind, row.value, row.fold).matches(row.text) == row.matches);
  }
}

TEST_CASE("an absent header is not compared, inverted or not, unless it counts as empty") {
  HeaderMatch match{.name = "x", .text = StringMatch::exact("1")};
  CHECK(match.holds_for("1"));
  CHECK_FALSE(match.holds_for("2"));
  CHECK_FALSE(match.holds_for(std::nullopt));
  match.invert = true;
  CHECK(match.holds_for("2"));
  CHECK_FALSE(match.holds_for(std::nullopt));
  match.missing_is_empty = true;
  CHECK(match.holds_for(std::nullopt));

  HeaderMatch present{.name = "x", .kind = HeaderMatch::Kind::kPresent};
  CHECK(present.holds_for(""));
  CHECK_FALSE(present.holds_for(std::nullopt));
  present.invert = true;
  CHECK(present.holds_for(std::nullopt));
  present.present = false;
  CHECK_FALSE(present.holds_for(std::nullopt));
}

TEST_CASE("a range holds for decimal numbers alone") {
  const HeaderMatch match{
      .name = "x", .kind = HeaderMatch::Kind::kRange, .range_start = -5, .range_end = 10};
  CHECK(match.holds_for("-5"));
  CHECK(match.holds_for("9"));
  CHECK_FALSE(match.holds_for("10"));
  CHECK_FALSE(match.holds_for("9x"));
  CHECK_FALSE(match.holds_for(""));
  CHECK_FALSE(match.holds_for("99999999999999999999"));
}

TEST_CASE("a path template matches by segment") {
  struct Row {
    const char* text;
    const char* path;
    bool matches;
  };
  for (const Row& row : {
           Row{"/tmpl/*/x", "/tmpl/a/x", true},
           Row{"/tmpl/*/x", "/tmpl/a/b/x", false},
           Row{"/tmpl/*/x", "/tmpl//x", false},
           Row{"/tmpl/*/x", "/tmpl/a|b/x", true},
           Row{"/deep/**", "/deep/", true},
           Row{"/deep/**", "/deep/a/b", true},
           Row{"/deep/**", "/deep", false},
           Row{"/deep/**", "/deeper/a", false},
           Row{"/{a}/b", "/x/b", true},
           Row{"/{a=x/*}/b", "/x/y/b", true},
           Row{"/{a=x/*}/b", "/x/b", false},
           Row{"/a.b", "/aXb", false},
           Row{"/**/x", "/a/b/x", true},
           Row{"/", "/", true},
       }) {
    INFO(row.text << " against " << row.path);
    const auto compiled = PathTemplate::compile(row.text);
    REQUIRE(compiled);
    CHECK(compiled->matches(row.path) == row.matches);
  }
}

TEST_CASE("a path template that is ambiguous or malformed is refused") {
  for (const char* text :
       {"", "a", "/a//b", "/**/*", "/**/**", "/{", "/{}", "/{a}{b}", "/{a}x", "/a*", "/{a=}",
        "/{a=/}", "/{a}/{a}", "/[a]", "/{a b}", "/{a}/{b}/{c}/{d}/{e}/{f}"}) {
    INFO(text);
    CHECK_FALSE(PathTemplate::compile(text).has_value());
  }
}

TEST_CASE("a segment prefix ends at a segment") {
  PathMatch match{.kind = PathMatch::Kind::kSegmentPrefix, .value = "/v2"};
  CHECK(match.matches("/v2"));
  CHECK(match.matches("/v2/x"));
  CHECK_FALSE(match.matches("/v2example"));
  CHECK_FALSE(match.matches("/V2"));
  match.case_sensitive = false;
  CHECK(match.matches("/V2/x"));
}

TEST_CASE("an expression beyond a limit is refused") {
  CHECK(Regex::compile("(").error().reason == Reason::kMalformed);
  CHECK(Regex::compile(std::string(kMaxRegexBytes + 1, 'a')).error().reason == Reason::kTooLarge);
  CHECK_FALSE(Regex::compile("((a{100}){100}){100}").has_value());
  CHECK_FALSE(Regex::compile("(?=a)").has_value());
}

TEST_CASE("a fraction hits as often as it says") {
  const Fraction tenth{.numerator = 10, .denominator = 100};
  int hits = 0;
  for (std::uint64_t draw = 0; draw < 1000; ++draw) hits += tenth.hit(draw) ? 1 : 0;
  CHECK(hits == 100);
  CHECK_FALSE(Fraction{}.hit(0));
  CHECK((Fraction{.numerator = 100, .denominator = 100}.hit(UINT64_MAX)));
}

}  // namespace
}  // namespace mesh::waypoint::config
