// Headers of traces.

#include "waypoint/tracing/context.h"

#include <catch2/catch_test_macros.hpp>

#include "waypoint/http/request.h"

namespace mesh::waypoint::tracing {
namespace {

constexpr const char* kTrace = "0af7651916cd43dd8448eb211c80319c";
constexpr const char* kParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

struct Row {
  const char* what;
  h2::Headers headers;
  const char* trace;  // null: it begins here
  std::optional<bool> sampled;
};

TEST_CASE("what a caller says of its trace is read strictly") {
  static const Row rows[] = {
      {"none", {}, nullptr, {}},
      {"W3C", {{"traceparent", kParent}}, kTrace, true},
      {"W3C, not sampled",
       {{"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"}},
       kTrace,
       false},
      {"a later version, longer",
       {{"traceparent", "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what"}},
       kTrace,
       true},
      {"version 0, longer", {{"traceparent", std::string(kParent) + "-what"}}, nullptr, {}},
      {"version ff",
       {{"traceparent", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}},
       nullptr,
       {}},
      {"upper case",
       {{"traceparent", "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}},
       nullptr,
       {}},
      {"zeros",
       {{"traceparent", "00-00000000000000000000000000000000-b7ad6b7169203331-01"}},
       nullptr,
       {}},
      {"no span",
       {{"traceparent", "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"}},
       nullptr,
       {}},
      {"said twice", {{"traceparent", kParent}, {"traceparent", kParent}}, nullptr, {}},
      {"b3", {{"b3", std::string(kTrace) + "-b7ad6b7169203331-0"}}, kTrace, false},
      {"b3, debug", {{"b3", std::string(kTrace) + "-b7ad6b7169203331-d"}}, kTrace, true},
      {"b3, left to us", {{"b3", std::string(kTrace) + "-b7ad6b7169203331"}}, kTrace, {}},
      {"b3, with a parent",
       {{"b3", std::string(kTrace) + "-b7ad6b7169203331-1-05e3ac9a4f6e3b90"}},
       kTrace,
       true},
      {"b3 of 64 bits",
       {{"b3", "8448eb211c80319c-b7ad6b7169203331-1"}},
       "00000000000000008448eb211c80319c",
       true},
      {"b3 that only denies", {{"b3", "0"}}, nullptr, {}},
      {"b3 with too much", {{"b3", std::string(kTrace) + "-b7ad6b7169203331-1-2-3"}}, nullptr, {}},
      {"b3 in several headers",
       {{"x-b3-traceid", kTrace}, {"x-b3-spanid", "b7ad6b7169203331"}, {"x-b3-sampled", "1"}},
       kTrace,
       true},
      {"b3 debug in several",
       {{"x-b3-traceid", kTrace}, {"x-b3-spanid", "b7ad6b7169203331"}, {"x-b3-flags", "1"}},
       kTrace,
       true},
      {"W3C before b3",
       {{"b3", "8448eb211c80319c-b7ad6b7169203331-0"}, {"traceparent", kParent}},
       kTrace,
       true},
  };
  for (const auto& row : rows) {
    INFO(row.what);
    const auto parent = parent_of(row.headers);
    CHECK(parent.has_value() == (row.trace != nullptr));
    if (!parent || row.trace == nullptr) continue;
    CHECK(parent->trace.text() == row.trace);
    CHECK(parent->span == 0xb7ad6b7169203331);
    CHECK(parent->sampled == row.sampled);
  }
}

TEST_CASE("the caller decides about sampling, else the dice, and never beyond the whole") {
  const auto parent = parse_traceparent(kParent);
  auto refused = parent;
  refused->sampled = false;
  const struct {
    const char* what;
    std::optional<Parent> parent;
    double random, overall;
    int least, most;  // of 10 000
  } rows[] = {
      {"nobody asked, none", {}, 0, 100, 0, 0},
      {"nobody asked, all", {}, 100, 100, 10000, 10000},
      {"one in a hundred", {}, 1, 100, 60, 140},
      {"half of what there is", {}, 100, 50, 4800, 5200},
      {"the caller wants", parent, 0, 100, 10000, 10000},
      {"the caller does not", refused, 100, 100, 0, 0},
      {"the caller wants too much", parent, 0, 10, 900, 1100},
  };
  for (const auto& row : rows) {
    INFO(row.what);
    http::Dice dice(1);
    config::Tracing settings{.random_sampling = row.random, .overall_sampling = row.overall};
    int sampled = 0;
    for (int i = 0; i < 10000; ++i) sampled += begin(settings, row.parent, dice).sampled ? 1 : 0;
    CHECK(sampled >= row.least);
    CHECK(sampled <= row.most);
  }
}

TEST_CASE("the next one's parent is our span, in the same trace") {
  http::Dice dice(1);
  h2::Headers headers = {{"traceparent", kParent}, {"tracestate", "a=b"}, {"x", "y"}};
  const Span span = begin({}, parent_of(headers), dice);
  CHECK(span.parent == 0xb7ad6b7169203331);
  CHECK(span.id != span.parent);
  inject(span, headers);
  const auto next = parent_of(headers);
  REQUIRE(next.has_value());
  CHECK(next->trace.text() == kTrace);
  CHECK(next->span == span.id);
  CHECK(http::header_text(headers, "tracestate").text() == "a=b");
  // A state without its parent means nothing.
  h2::Headers stray = {{"traceparent", "nonsense"}, {"tracestate", "a=b"}};
  inject(begin({}, parent_of(stray), dice), stray);
  CHECK_FALSE(http::header_text(stray, "tracestate").present());
  CHECK(parent_of(stray).has_value());
}

}  // namespace
}  // namespace mesh::waypoint::tracing
