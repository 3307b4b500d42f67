#pragma once
// Which tokens are accepted, from where, and what a route requires of them, as Envoy's jwt_authn
// states it. waypoint/jwt decides with it.

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "waypoint/config/match.h"
#include "waypoint/config/route_match.h"

namespace mesh::waypoint::config {

struct JwtHeaderLocation {
  std::string name = {};  // lower case
  std::string value_prefix = {};
};

struct ClaimToHeader {
  std::string header = {};  // lower case
  std::string claim = {};   // "a.b" is nested
};

struct RemoteJwks {
  std::string cluster = {};
  std::string uri = {};
  std::chrono::milliseconds timeout{5'000};
  std::chrono::milliseconds cache_for{600'000};
  bool fetch_ahead = false;  // as soon as it is configured; else when first needed
};

struct JwtProvider {
  std::string name = {};
  std::string issuer = {};                  // empty: any
  std::vector<std::string> audiences = {};  // any of; empty: any
  StringMatch subject = {};                 // kNothing: any
  std::string inline_jwks = {};             // JSON; or
  RemoteJwks remote = {};                   // remote.uri not empty
  std::vector<JwtHeaderLocation> from_headers = {};
  std::vector<std::string> from_params = {};
  std::vector<std::string> from_cookies = {};
  bool forward = false;                     // false: the token is removed from the request
  std::string forward_payload_header = {};  // the payload, base64url
  bool pad_forward_payload = false;
  std::string payload_in_metadata = {};  // the key under which claims are kept
  std::vector<std::string> space_delimited_claims = {};
  std::vector<ClaimToHeader> claim_to_headers = {};
  std::chrono::seconds clock_skew{60};
  bool require_expiration = false;
  std::chrono::seconds max_lifetime{0};  // 0: any
  bool clear_route_cache = false;
};

struct JwtRequirement {
  enum class Kind : std::uint8_t {
    kProvider,
    kAny,                   // any child
    kAll,                   // all children
    kAllowMissing,          // no token, or a valid one
    kAllowMissingOrFailed,  // whatever the token is
    kNone,                  // asks for nothing
  };
  Kind kind = Kind::kAll;
  std::string provider = {};
  std::vector<std::string> audiences = {};  // kProvider: instead of the provider's
  std::vector<JwtRequirement> children = {};
};

struct JwtRule {
  RouteMatch match = {};
  JwtRequirement required = {};
};

struct JwtFilter {
  std::vector<JwtProvider> providers = {};
  std::vector<JwtRule> rules = {};  // the first that matches; none matches: nothing is required
  std::map<std::string, JwtRequirement, std::less<>> named = {};  // for routes to ask for
  bool bypass_cors_preflight = false;
};

}  // namespace mesh::waypoint::config
