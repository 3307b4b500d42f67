#pragma once
// The HTTP filters of a chain: what is asked of each request before it is routed, in order.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "waypoint/config/jwt.h"
#include "waypoint/config/match.h"
#include "waypoint/config/rbac.h"

namespace mesh::waypoint::config {

struct CorsPolicy {
  std::vector<StringMatch> origins = {};  // any of; none: no origin is allowed
  std::string allow_methods = {};
  std::string allow_headers = {};
  std::string expose_headers = {};
  std::string max_age = {};
  bool allow_credentials = false;
  bool allow_private_network = false;
  bool forward_not_matching_preflights = true;
  Fraction enabled = {.numerator = 100, .denominator = 100};
  Fraction shadow = {};
};

struct Fault {
  struct Delay {
    std::chrono::milliseconds fixed{0};
    bool from_header = false;  // x-envoy-fault-delay-request
    Fraction percentage = {};
  };
  struct Abort {
    std::uint16_t http_status = 0;                  // or
    std::optional<std::uint32_t> grpc_status = {};  // or
    bool from_header = false;                       // x-envoy-fault-abort-request, -grpc-request
    Fraction percentage = {};
  };
  std::optional<Delay> delay = {};
  std::optional<Abort> abort = {};
  std::vector<HeaderMatch> headers = {};  // all of; the request to be harmed
  std::string upstream_cluster = {};      // only requests routed there
  std::uint64_t max_active = 0;           // 0: any number
};

struct TokenBucket {
  std::uint32_t max_tokens = 0;
  std::uint32_t tokens_per_fill = 1;
  std::chrono::milliseconds fill_interval{0};

  friend bool operator==(const TokenBucket&, const TokenBucket&) = default;
};

struct LocalRateLimit {
  struct Descriptor {
    std::vector<std::pair<std::string, std::string>> entries = {};
    TokenBucket bucket = {};
  };
  std::string stat_prefix = {};
  std::optional<TokenBucket> bucket = {};
  Fraction enabled = {};   // 0 %: the filter is off
  Fraction enforced = {};  // 0 %: counts only
  std::uint16_t status = 429;
  bool grpc_resource_exhausted = false;  // else UNAVAILABLE
  std::vector<std::pair<std::string, std::string>> response_headers = {};
  std::vector<Descriptor> descriptors = {};
  std::uint32_t stage = 0;
};

struct RateLimitService {  // the global rate limit
  std::string domain = {};
  std::string cluster = {};
  std::string authority = {};
  std::chrono::milliseconds timeout{20};
  bool failure_mode_deny = false;
  std::uint16_t status = 429;
  bool grpc_resource_exhausted = false;
  std::uint32_t stage = 0;
  bool disable_x_envoy_ratelimited = false;
  bool ratelimit_headers = false;  // x-ratelimit-limit, -remaining, -reset
  std::uint16_t status_on_error = 500;
  std::vector<std::pair<std::string, std::string>> response_headers = {};  // when over
};

// ext_authz: asks a service whether a request may pass.
struct ExtAuthz {
  bool grpc = true;
  std::string cluster = {};
  std::string authority = {};    // of the gRPC call, or the HTTP call's host
  std::string path_prefix = {};  // HTTP
  std::chrono::milliseconds timeout{200};
  bool failure_mode_allow = false;
  std::uint16_t status_on_error = 403;
  std::size_t max_request_bytes = 0;  // of the body that is sent along; 0: none
  bool allow_partial_message = false;
  bool pack_as_bytes = false;
  bool clear_route_cache = false;
  // Of the request, to the service; none: HTTP few, gRPC all.
  std::vector<StringMatch> allowed_headers = {};
  std::vector<StringMatch> disallowed_headers = {};
  std::vector<std::pair<std::string, std::string>> headers_to_add = {};  // to the check request
  std::vector<std::string> metadata_namespaces = {};                     // told to the service
  std::vector<StringMatch> allowed_upstream_headers = {};  // HTTP: of the answer, to the request
  std::vector<StringMatch> allowed_upstream_headers_to_append = {};
  std::vector<StringMatch> allowed_client_headers = {};  // HTTP: of a refusal, to the client
  std::vector<StringMatch> allowed_client_headers_on_success = {};
  std::vector<StringMatch> metadata_from_headers = {};  // HTTP: of the answer
  bool failure_mode_allow_header = false;               // says so to the endpoint
  Fraction enabled = {.numerator = 100, .denominator = 100};
  bool deny_at_disable = false;
  // Asked only if the shadow rules of an RBAC filter before it matched a policy of this name.
  std::optional<StringMatch> enabled_by_policy = {};
  std::string enabled_by_prefix = {};  // RbacFilter::shadow_prefix of that filter
};
struct ExtAuthzOverride {
  struct Body {  // instead of the filter's
    std::size_t max_request_bytes = 0;
    bool allow_partial_message = false;
    bool pack_as_bytes = false;
  };
  bool disabled = false;
  // Added to those of wider scopes.
  std::vector<std::pair<std::string, std::string>> context_extensions = {};
  std::optional<Body> body = {};  // of 0 bytes: none
};

// Which headers a service may change; Envoy's defaults.
struct MutationRules {
  bool allow_routing = false;  // host, :authority, :scheme, :method
  bool allow_envoy = false;    // x-envoy…
  bool disallow_system = false;
  bool disallow_all = false;
  bool disallow_is_error = false;  // else it is left out
  RegexPtr allow_expression = {};
  RegexPtr disallow_expression = {};
};

// ext_proc: lets a service see and change a request and its response.
struct ExtProc {
  enum class Send : std::uint8_t { kDefault, kSend, kSkip };
  enum class Body : std::uint8_t { kNone, kStreamed, kBuffered, kBufferedPartial, kDuplex };
  std::string cluster = {};
  std::string authority = {};
  bool failure_mode_allow = false;
  Send request_header = Send::kDefault;
  Send response_header = Send::kDefault;
  Body request_body = Body::kNone;
  Body response_body = Body::kNone;
  Send request_trailer = Send::kDefault;
  Send response_trailer = Send::kDefault;
  std::chrono::milliseconds message_timeout{200};
  std::chrono::milliseconds max_message_timeout{0};  // that it may ask for; 0: none
  bool allow_mode_override = false;
  bool disable_immediate_response = false;
  enum class RouteCache : std::uint8_t { kDefault, kClear, kRetain };
  RouteCache route_cache = RouteCache::kDefault;  // kDefault: as each answer says
  MutationRules rules = {};
  std::vector<StringMatch> allowed_headers = {};  // told to the service; none: all
  std::vector<StringMatch> disallowed_headers = {};
};
struct ExtProcOverride {
  bool disabled = false;
  std::optional<bool> failure_mode_allow = {};
  std::optional<ExtProc> mode = {};  // of it, what to send and bodies
};

// The chain's own settings are empty: routes bring them.
struct CorsFilter {};

// A filter that is named and not there (an extension that did not come, or that we do not have):
// every request is refused with 500 and its name.
struct UnavailableFilter {
  std::string problem = {};
};

struct HttpFilter {
  std::string name = {};
  std::variant<UnavailableFilter, RbacFilter, ExtAuthz, JwtFilter, Fault, CorsFilter,
               LocalRateLimit, RateLimitService, ExtProc>
      settings = UnavailableFilter{};
  bool disabled = false;    // unless a route enables it
  bool discovered = false;  // its settings come as a resource of that name (ECDS)
};

}  // namespace mesh::waypoint::config
