#include "waypoint/tracing/context.h"

#include <vector>

#include "waypoint/http/request.h"

namespace mesh::waypoint::tracing {
namespace {

constexpr char kHex[] = "0123456789abcdef";

std::string hex(std::uint64_t number) {
  std::string text(16, '0');
  for (std::size_t i = 16; i > 0; number >>= 4) text[--i] = kHex[number & 15];
  return text;
}

// Exactly the digits of `text`, at most 16, lower case; B3 is written in either case.
std::optional<std::uint64_t> number_of(std::string_view text, bool any_case = false) {
  if (text.empty() || text.size() > 16) return std::nullopt;
  std::uint64_t number = 0;
  for (const char c : text) {
    unsigned digit = 0;
    if (c >= '0' && c <= '9') {
      digit = static_cast<unsigned>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      digit = static_cast<unsigned>(c - 'a') + 10;
    } else if (any_case && c >= 'A' && c <= 'F') {
      digit = static_cast<unsigned>(c - 'A') + 10;
    } else {
      return std::nullopt;
    }
    number = number << 4 | digit;
  }
  return number;
}

std::optional<TraceId> trace_of(std::string_view text, bool any_case = false) {
  if (text.size() != 32 && !(any_case && text.size() == 16)) return std::nullopt;
  TraceId id;
  if (text.size() == 32) {
    const auto high = number_of(text.substr(0, 16), any_case);
    if (!high) return std::nullopt;
    id.high = *high;
    text.remove_prefix(16);
  }
  const auto low = number_of(text, any_case);
  if (!low) return std::nullopt;
  id.low = *low;
  return id.valid() ? std::optional(id) : std::nullopt;
}

std::optional<std::uint64_t> span_of(std::string_view text, bool any_case = false) {
  if (text.size() != 16) return std::nullopt;
  const auto id = number_of(text, any_case);
  return id && *id != 0 ? id : std::nullopt;
}

// "1" and "d" (debug), "0"; true and false were once written too.
std::optional<bool> b3_sampled(std::string_view text) {
  if (text == "1" || text == "d" || text == "true") return true;
  if (text == "0" || text == "false") return false;
  return std::nullopt;
}

std::string_view one(const h2::Headers& headers, std::string_view name) {
  std::string_view found;
  for (const h2::Header& header : headers) {
    if (header.name != name) continue;
    if (!found.empty()) return {};  // said twice: neither counts
    found = header.value;
  }
  return found;
}

bool roll(double percent, http::Dice& dice) {
  constexpr std::uint64_t kParts = 1'000'000;
  return static_cast<double>(dice.below(kParts)) < percent / 100 * kParts;
}

}  // namespace

std::string TraceId::text() const { return hex(high) + hex(low); }

std::optional<Parent> parse_traceparent(std::string_view text) {
  constexpr std::size_t kLength = 55;
  if (text.size() < kLength || text[2] != '-' || text[35] != '-' || text[52] != '-') {
    return std::nullopt;
  }
  const auto version = number_of(text.substr(0, 2));
  const bool longer = text.size() > kLength;
  if (!version || *version == 0xff) return std::nullopt;
  if (longer && (*version == 0 || text[kLength] != '-')) return std::nullopt;
  const auto trace = trace_of(text.substr(3, 32));
  const auto span = span_of(text.substr(36, 16));
  const auto flags = number_of(text.substr(53, 2));
  if (!trace || !span || !flags) return std::nullopt;
  return Parent{.trace = *trace, .span = *span, .sampled = (*flags & 1) != 0};
}

std::optional<Parent> parse_b3(std::string_view text) {
  std::vector<std::string_view> parts;
  for (std::string_view rest = text; parts.size() < 5;) {
    const std::size_t end = std::min(rest.find('-'), rest.size());
    parts.push_back(rest.substr(0, end));
    if (end == rest.size()) break;
    rest.remove_prefix(end + 1);
  }
  if (parts.size() < 2 || parts.size() > 4) return std::nullopt;
  const auto trace = trace_of(parts[0], true);
  const auto span = span_of(parts[1], true);
  if (!trace || !span) return std::nullopt;
  Parent parent{.trace = *trace, .span = *span};
  if (parts.size() > 2) {
    parent.sampled = b3_sampled(parts[2]);
    if (!parent.sampled) return std::nullopt;
  }
  if (parts.size() > 3 && !span_of(parts[3], true)) return std::nullopt;
  return parent;
}

std::optional<Parent> parent_of(const h2::Headers& headers) {
  if (auto parent = parse_traceparent(one(headers, "traceparent"))) return parent;
  if (auto parent = parse_b3(one(headers, "b3"))) return parent;
  const auto trace = trace_of(one(headers, "x-b3-traceid"), true);
  const auto span = span_of(one(headers, "x-b3-spanid"), true);
  if (!trace || !span) return std::nullopt;
  Parent parent{.trace = *trace, .span = *span};
  parent.sampled = b3_sampled(one(headers, "x-b3-sampled"));
  if (one(headers, "x-b3-flags") == "1") parent.sampled = true;
  return parent;
}

Span begin(const config::Tracing& settings, const std::optional<Parent>& parent, http::Dice& dice) {
  Span span;
  if (parent) {
    span.trace = parent->trace;
    span.parent = parent->span;
  }
  while (!span.trace.valid()) span.trace = {.high = dice.roll(), .low = dice.roll()};
  while (span.id == 0) span.id = dice.roll();
  const bool wanted =
      parent && parent->sampled ? *parent->sampled : roll(settings.random_sampling, dice);
  span.sampled = wanted && roll(settings.overall_sampling, dice);
  return span;
}

std::string to_traceparent(const Span& span) {
  return "00-" + span.trace.text() + "-" + hex(span.id) + (span.sampled ? "-01" : "-00");
}

void inject(const Span& span, h2::Headers& headers) {
  // A state belongs to the parent that it came with.
  if (!parse_traceparent(one(headers, "traceparent"))) http::remove_header(headers, "tracestate");
  http::set_header(headers, "traceparent", to_traceparent(span));
}

}  // namespace mesh::waypoint::tracing
