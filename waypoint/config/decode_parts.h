#pragma once
// Pieces of Envoy's messages that several resources have: matchers, headers, rules, filters.
// Internal to waypoint/config.

#include <string>
#include <vector>

#include "waypoint/config/tree.h"

namespace mesh::waypoint::config::parts {

// envoy.type.matcher.v3
StringMatch string_match(Input& in, const Tree& at);
RegexPtr regex(Input& in, const Tree& at);  // RegexMatcher
HeaderMatch header_match(Input& in, const Tree& at);
std::vector<HeaderMatch> header_matches(Input& in, const Tree& at, std::string_view name);
MetadataMatch metadata_match(Input& in, const Tree& at);
// RuntimeFractionalPercent (with defaultValue), or FractionalPercent itself.
Fraction runtime_fraction(Input& in, const Tree& at);
Fraction fraction(Input& in, const Tree& at);
// {regex, substitution}
void regex_rewrite(Input& in, const Tree& at, RegexPtr& regex_to, std::string& substitution);
PrincipalMatch principal_match(Input& in, const Tree& at);
RouteMatch route_match(Input& in, const Tree& at);

// Lower case; refuses names that are none, pseudo-headers, and those that frame a message.
std::string changed_header_name(Input& in, const Tree& at, std::string_view name);
HeaderChanges header_changes(Input& in, const Tree& at, std::string_view add,
                             std::string_view remove);

// envoy.config.rbac.v3 and its filters
RbacFilter rbac_filter(Input& in, const Tree& at, bool http);
// envoy.extensions.filters.http.*
JwtFilter jwt_filter(Input& in, const Tree& at);
CorsPolicy cors_policy(Input& in, const Tree& at);
Fault fault(Input& in, const Tree& at);
LocalRateLimit local_rate_limit(Input& in, const Tree& at);
ExtAuthz ext_authz(Input& in, const Tree& at);
ExtAuthzOverride ext_authz_override(Input& in, const Tree& at);
ExtProc ext_proc(Input& in, const Tree& at);
ExtProcOverride ext_proc_override(Input& in, const Tree& at);
RateLimitService rate_limit_service(Input& in, const Tree& at);
RateLimitOverride rate_limit_override(Input& in, const Tree& at);
// An HTTP status by its number, or as the name that envoy.type.v3.StatusCode has for it.
std::uint16_t http_status(Input& in, const Tree& at, std::string_view name,
                          std::uint16_t otherwise);
// One HTTP filter by its Any. What it is called where nothing is done about it: empty name.
// An unknown one is an UnavailableFilter that says so.
enum class FilterUse : std::uint8_t { kUsed, kIgnored };
FilterUse http_filter(Input& in, const Tree& any, HttpFilter& made);
FilterOverrides filter_overrides(Input& in, const Tree& at);

// A RouteConfiguration.
RouteTable route_table(Input& in, const Tree& at);
RetryPolicy retry_policy(Input& in, const Tree& at);
std::vector<RateLimitDescriptor> rate_limits(Input& in, const Tree& at, std::string_view name);
std::vector<HashPolicy> hash_policies(Input& in, const Tree& at, std::string_view name);
void route_action(Input& in, const Tree& at, Forward& forward);

std::vector<AccessLog> access_logs(Input& in, const Tree& at);
std::optional<Tracing> tracing(Input& in, const Tree& at);

HealthCheck health_check(Input& in, const Tree& at);
net::Cidr cidr(Input& in, const Tree& at);
net::SocketAddress socket_address(Input& in, const Tree& at, std::string* hostname);
UpstreamTls upstream_tls(Input& in, const Tree& at);
Secret secret(Input& in, const Tree& at);
// DownstreamTlsContext of the HBONE listener: what callers must be called.
std::vector<StringMatch> client_names(Input& in, const Tree& at);

}  // namespace mesh::waypoint::config::parts
