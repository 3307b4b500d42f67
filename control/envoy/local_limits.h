#pragma once
// The annotation weft.dev/local-rate-limit of an HTTPRoute, a GRPCRoute or a VirtualService: how
// many requests each proxy lets through, in lines of
//
//   [RULE:] [HEADER=VALUE] COUNT/INTERVAL
//
// RULE is a rule's name (without one: all rules of the object, which share the bucket),
// HEADER=VALUE a header that must have that value, INTERVAL a number of s, m or h ("s": one). A
// line is a token bucket of COUNT tokens that is full again after INTERVAL; a request takes a token
// of every line that is for it, and is answered 429 when one has none. Lines end at a newline or a
// semicolon.

#include <chrono>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "control/envoy/pieces.h"
#include "mesh/manifest/objects.h"

namespace envoy::config::route::v3 {
class VirtualHost;
}

namespace mesh::control {

struct Build;

struct LocalLimit {
  std::string rule;    // empty: every one
  std::string header;  // empty: every request
  std::string value;
  std::uint32_t count = 0;
  std::chrono::seconds interval{0};
};

inline constexpr std::string_view kLocalLimitAnnotation = "weft.dev/local-rate-limit";

// Limits: 32 lines, counts to 1 000 000, intervals to 24 h. Errors: which line, and why.
std::expected<std::vector<LocalLimit>, std::string> parse_local_limits(std::string_view text);

// The last route of `into` comes of the rule `rule` of an object: it is limited as the object's
// annotation says. Where that cannot be read, or the route leads nowhere a limit can be asked for,
// the route answers 500, and it is noted.
void limit_last_route(Build& build, const manifest::ObjectKey& author,
                      const manifest::Metadata& object, std::string_view rule,
                      envoy::config::route::v3::VirtualHost* into);

// A route of it is limited: the chain needs the filter.
bool has_local_limits(const envoy::config::route::v3::VirtualHost& host);

inline constexpr const char* kLocalLimitFilter = "envoy.filters.http.local_ratelimit";

}  // namespace mesh::control
