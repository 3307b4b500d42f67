#pragma once
// A route table: what becomes of a request. waypoint/route decides with it.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "waypoint/config/filter.h"
#include "waypoint/config/match.h"
#include "waypoint/config/route_match.h"

namespace mesh::waypoint::config {

using Millis = std::chrono::milliseconds;

struct HeaderChange {
  enum class Action : std::uint8_t {
    kAppendOrAdd,  // one more value beside what is there
    kAddIfAbsent,
    kOverwriteOrAdd,
    kOverwriteIfExists,
  };
  std::string name = {};   // lower case
  std::string value = {};  // may hold command operators: %REQ(x)%, %DOWNSTREAM_REMOTE_ADDRESS%
  Action action = Action::kAppendOrAdd;
  bool keep_empty = false;  // else an empty value changes nothing
  bool has_operators = false;
};

// Removal comes before addition.
struct HeaderChanges {
  std::vector<std::string> remove = {};  // lower case
  std::vector<HeaderChange> add = {};

  bool empty() const { return remove.empty() && add.empty(); }
};

// A descriptor of the global rate limit service, as actions that make its entries.
struct RateLimitAction {
  enum class Kind : std::uint8_t {
    kSourceCluster,
    kDestinationCluster,
    kRequestHeader,
    kRemoteAddress,
    kGenericKey,
    kHeaderValueMatch,
    kMaskedRemoteAddress,
    kMetadata,
  };
  Kind kind = Kind::kGenericKey;
  std::string key = {};
  std::string value = {};                  // kMetadata: when there is none
  std::vector<std::string> metadata = {};  // kMetadata: the filter, then the way in it
  std::uint32_t mask_v4 = 32;
  std::uint32_t mask_v6 = 128;
  std::string header = {};
  bool skip_if_absent = false;
  bool expect_match = true;
  std::vector<HeaderMatch> headers = {};
};
struct RateLimitDescriptor {
  std::uint32_t stage = 0;
  std::vector<RateLimitAction> actions = {};
};

// What a route says about the rate limit service (RateLimitPerRoute).
struct RateLimitOverride {
  // Whether the virtual host's limits count: where the route has none, too, never.
  enum class OfHost : std::uint8_t { kOverride, kInclude, kIgnore };
  std::string domain = {};  // instead of the filter's
  OfHost of_host = OfHost::kOverride;
  std::vector<RateLimitDescriptor> rules = {};  // instead of all others
};

// Settings of a filter that a route replaces.
struct FilterOverrides {
  std::optional<CorsPolicy> cors = {};
  std::optional<Fault> fault = {};
  std::optional<LocalRateLimit> local_rate_limit = {};
  std::optional<RbacFilter> rbac = {};
  std::optional<ExtAuthzOverride> ext_authz = {};
  std::optional<ExtProcOverride> ext_proc = {};
  std::optional<RateLimitOverride> rate_limit = {};
  std::optional<std::string> jwt_requirement = {};
  bool jwt_disabled = false;
};

struct RetryPolicy {
  // Conditions of retry_on and retriable lists.
  bool on_5xx = false;
  bool on_gateway_error = false;  // 502, 503, 504
  bool on_reset = false;
  bool on_reset_before_request = false;
  bool on_connect_failure = false;
  bool on_refused_stream = false;
  bool on_envoy_ratelimited = false;
  bool on_retriable_4xx = false;  // 409
  bool on_retriable_status_codes = false;
  bool on_retriable_headers = false;
  bool on_grpc_cancelled = false;
  bool on_grpc_deadline_exceeded = false;
  bool on_grpc_internal = false;
  bool on_grpc_resource_exhausted = false;
  bool on_grpc_unavailable = false;
  std::vector<std::uint32_t> status_codes = {};
  std::vector<HeaderMatch> response_headers = {};  // any of
  std::vector<HeaderMatch> request_headers = {};   // any of; none: every request
  std::uint32_t retries = 1;
  Millis per_try_timeout{0};  // 0: none
  Millis per_try_idle_timeout{0};
  Millis backoff_base{25};
  Millis backoff_max{250};
  bool backoff_is_minimum = false;  // Gateway API: wait at least the base, never less
  bool avoid_previous_hosts = false;
  std::uint32_t host_attempts = 1;  // picks per try before a host of before is taken again
  // Headers of a response that say how long to wait, in order; see retry.
  struct ResetHeader {
    std::string name = {};
    bool unix_timestamp = false;  // else seconds
  };
  std::vector<ResetHeader> rate_limited_headers = {};
  Millis rate_limited_max{300'000};
};

struct HashPolicy {
  enum class Kind : std::uint8_t { kHeader, kCookie, kSourceIp, kQuery };
  Kind kind = Kind::kSourceIp;
  std::string name = {};
  bool terminal = false;  // a hash so far is enough
  // kCookie: makes one when there is none; 0 is a session cookie.
  std::optional<std::chrono::seconds> cookie_ttl = {};
  std::string cookie_path = {};
  // kHeader: the value is rewritten first.
  RegexPtr rewrite_regex = {};
  std::string rewrite_substitution = {};
};

struct Mirror {
  std::string cluster = {};
  Fraction fraction = {.numerator = 100, .denominator = 100};
  bool append_shadow = true;  // "-shadow" to the host
  std::string host_rewrite = {};
  HeaderChanges request_headers = {};
};

struct WeightedTarget {
  std::string cluster = {};
  std::uint32_t weight = 1;
  HeaderChanges request_headers = {};
  HeaderChanges response_headers = {};
  std::string host_rewrite = {};
  FilterOverrides overrides = {};
};

struct Forward {
  std::vector<WeightedTarget> targets = {};
  std::uint64_t total_weight = 0;  // 0: 500
  std::uint16_t cluster_not_found = 503;
  std::string prefix_rewrite = {};  // replaces what PathMatch matched; empty: none
  RegexPtr rewrite_regex = {};
  std::string rewrite_substitution = {};
  PathTemplate rewrite_template = {};
  std::string host_rewrite = {};         // literal; empty: none
  std::string host_rewrite_header = {};  // from this header
  bool auto_host_rewrite = false;        // the endpoint's hostname
  bool append_x_forwarded_host = false;
  Millis timeout{15'000};  // 0: none
  std::optional<Millis> idle_timeout = {};
  std::optional<Millis> max_stream_duration = {};
  std::optional<Millis> grpc_timeout_max = {};  // set: grpc-timeout counts; 0: uncapped
  std::optional<Millis> grpc_timeout_offset = {};
  std::optional<RetryPolicy> retry = {};
  std::vector<Mirror> mirrors = {};
  std::vector<HashPolicy> hash = {};
  bool high_priority = false;
  std::vector<std::string> upgrades = {};  // allowed beside the chain's; lower case
  std::vector<std::string> refused_upgrades = {};
  std::vector<RateLimitDescriptor> rate_limits = {};
  bool include_virtual_host_rate_limits = false;
};

struct Redirect {
  bool https = false;
  std::string scheme = {};  // empty: as it was
  std::string host = {};
  std::uint32_t port = 0;
  std::string path = {};            // the whole path, with a query perhaps; or
  std::string prefix_rewrite = {};  // of what matched; or
  RegexPtr rewrite_regex = {};
  std::string rewrite_substitution = {};
  std::uint16_t status = 301;
  bool strip_query = false;
};

struct DirectResponse {
  std::uint16_t status = 500;
  std::string body = {};
};

struct Route {
  std::string name = {};
  RouteMatch match = {};
  std::variant<DirectResponse, Forward, Redirect> action = DirectResponse{};
  HeaderChanges request_headers = {};
  HeaderChanges response_headers = {};
  FilterOverrides overrides = {};
  std::string operation = {};  // decorator: a span's name
  // The object this route came from, for logs and dumps.
  std::string origin = {};
};

struct VirtualHost {
  std::string name = {};
  std::vector<std::string> domains = {};  // lower case: "*", "*.suffix", "prefix.*", exact
  std::vector<std::shared_ptr<const Route>> routes = {};  // in order: the first that matches
  HeaderChanges request_headers = {};
  HeaderChanges response_headers = {};
  FilterOverrides overrides = {};
  std::vector<RateLimitDescriptor> rate_limits = {};
  bool include_attempt_count = false;
};

struct RouteTable {
  std::string name = {};
  std::vector<VirtualHost> hosts = {};
  HeaderChanges request_headers = {};
  HeaderChanges response_headers = {};
  FilterOverrides overrides = {};
  bool ignore_port_in_host = false;
  // Else: route, virtual host, table, in this order.
  bool most_specific_headers_win = false;
};
using RouteTablePtr = std::shared_ptr<const RouteTable>;

}  // namespace mesh::waypoint::config
