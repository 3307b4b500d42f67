#pragma once
// Which trace a request belongs to: W3C's traceparent and B3 in, traceparent out. Pure.
//
// What a client says is a label, never trusted: it is parsed strictly, and what is malformed is as
// if it were not there.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "mesh/h2/message.h"
#include "waypoint/config/model.h"
#include "waypoint/http/dice.h"

namespace mesh::waypoint::tracing {

struct TraceId {
  std::uint64_t high = 0, low = 0;
  bool valid() const { return high != 0 || low != 0; }
  std::string text() const;  // 32 hexadecimal digits
  friend bool operator==(const TraceId&, const TraceId&) = default;
};

struct Parent {
  TraceId trace = {};
  std::uint64_t span = 0;
  std::optional<bool> sampled = {};  // none: B3 that leaves it to us
};

// "00-<32>-<16>-<2>", and of later versions what is known of them. None: malformed, or zeros.
std::optional<Parent> parse_traceparent(std::string_view text);
// "b3: <16 or 32>-<16>[-<1, 0, d>[-<16>]]"
std::optional<Parent> parse_b3(std::string_view text);
// traceparent, else b3, else x-b3-*. None: the trace begins here.
std::optional<Parent> parent_of(const h2::Headers& headers);

// A span of ours: of a trace, below a parent (0: none).
struct Span {
  TraceId trace = {};
  std::uint64_t id = 0;
  std::uint64_t parent = 0;
  bool sampled = false;
};

// The caller's decision counts; without one, `random_sampling` percent; nothing beyond
// `overall_sampling` percent.
Span begin(const config::Tracing& settings, const std::optional<Parent>& parent, http::Dice& dice);

std::string to_traceparent(const Span& span);
// The application's next caller is this span. tracestate stays as it is, if it is one that a
// traceparent came with.
void inject(const Span& span, h2::Headers& headers);

}  // namespace mesh::waypoint::tracing
