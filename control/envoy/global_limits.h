#pragma once
// The annotation weft.dev/rate-limit of an HTTPRoute, a GRPCRoute or a VirtualService: which
// requests a service is asked about that counts them, and by what it tells them apart, in lines of
//
//   [RULE:] PROVIDER ENTRY...
//
// RULE is a rule's name (without one: all rules of the object), PROVIDER a weftRateLimitGrpc of the
// mesh's configuration. The entries of a line are one descriptor of its question, in their order:
//
//   remote-address        ("remote_address", the client's address)
//   method, path, host    ("method", …), the path with its query
//   header(NAME)          (NAME, the value); a request without it is not asked about
//   header(NAME)=VALUE    (NAME, VALUE); only requests whose header has that value
//   KEY=VALUE             (KEY, VALUE)
//
// Lines end at a newline or a semicolon. A service counts by routes' descriptors of a stage of its
// own (stage 0 is that of local limits), so that several can be asked about one request.

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
namespace envoy::extensions::filters::http::ratelimit::v3 {
class RateLimit;
}

namespace mesh::control {

struct Build;

struct LimitEntry {
  enum class Kind : std::uint8_t { kText, kHeader, kHeaderValue, kRemoteAddress };
  Kind kind = Kind::kText;
  std::string key;
  std::string header;  // in lower case, or a pseudo-header
  std::string value;
};

struct GlobalLimit {
  std::string rule;  // empty: every one
  std::string provider;
  std::vector<LimitEntry> entries;
};

inline constexpr std::string_view kGlobalLimitAnnotation = "weft.dev/rate-limit";
inline constexpr const char* kGlobalLimitFilter = "envoy.filters.http.ratelimit";
inline constexpr std::size_t kLimitersMax = 10;  // asked by one waypoint: Envoy's stages

// Limits: 32 lines, 16 entries each. Errors: which line, and why.
std::expected<std::vector<GlobalLimit>, std::string> parse_global_limits(std::string_view text);

// The last route of `into` comes of the rule `rule` of an object: who the object's annotation names
// is asked about its requests. Where that cannot be read or done, the route answers 500, and it is
// noted.
void count_last_route(Build& build, const manifest::ObjectKey& author,
                      const manifest::Metadata& object, std::string_view rule,
                      envoy::config::route::v3::VirtualHost* into);

// The filters that its routes need, by stage.
std::vector<envoy::extensions::filters::http::ratelimit::v3::RateLimit> global_limit_filters(
    Build& build, const envoy::config::route::v3::VirtualHost& host);

}  // namespace mesh::control
