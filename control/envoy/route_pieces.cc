#include "control/envoy/route_pieces.h"

#include <cmath>

#include "control/envoy/build.h"
#include "control/envoy/checks.h"
#include "control/envoy/pieces.h"
#include "envoy/cors.pb.h"
#include "envoy/previous_hosts.pb.h"
#include "envoy/route.pb.h"

namespace mesh::control {
namespace {

namespace route = envoy::config::route::v3;

constexpr std::string_view kRetryOn =
    "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";

void fill_origin(const std::string& origin, envoy::type::matcher::v3::StringMatcher* into) {
  if (origin.find('*') == std::string::npos) return into->set_exact(origin);
  std::string pattern = "^";
  std::size_t at = 0;
  for (std::size_t star = origin.find('*'); star != std::string::npos;
       star = origin.find('*', at)) {
    pattern += quoted(std::string_view(origin).substr(at, star - at)) + ".*";
    at = star + 1;
  }
  into->mutable_safe_regex()->set_regex(pattern + quoted(std::string_view(origin).substr(at)) +
                                        "$");
}

}  // namespace

std::string quoted(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (std::string_view(".+*?()|[]{}^$\\").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

void fill_defaults(route::RouteAction* into) {
  into->mutable_timeout();
  into->mutable_max_grpc_timeout();
  route::RetryPolicy* retry = into->mutable_retry_policy();
  retry->set_retry_on(std::string(kRetryOn));
  retry->mutable_num_retries()->set_value(2);
  retry->set_host_selection_retry_max_attempts(5);
  auto* other = retry->add_retry_host_predicate();
  other->set_name("envoy.retry_host_predicates.previous_hosts");
  pack(envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate(),
       other->mutable_typed_config());
}

void fill_timeout(std::chrono::milliseconds timeout, route::RouteAction* into) {
  set_duration(into->mutable_timeout(), timeout);
  set_duration(into->mutable_max_grpc_timeout(), timeout);
}

void fill_hash_policy(const manifest::TrafficPolicy& policy, route::RouteAction* into) {
  if (!policy.load_balancer || !policy.load_balancer->hash) return;
  const manifest::ConsistentHash& hash = *policy.load_balancer->hash;
  route::RouteAction::HashPolicy* to = into->add_hash_policy();
  if (!hash.header.empty()) {
    to->mutable_header()->set_header_name(hash.header);
  } else if (!hash.cookie.empty()) {
    to->mutable_cookie()->set_name(hash.cookie);
    to->mutable_cookie()->set_path(hash.cookie_path);
    if (hash.cookie_ttl) set_duration(to->mutable_cookie()->mutable_ttl(), *hash.cookie_ttl);
  } else if (!hash.query.empty()) {
    to->mutable_query_parameter()->set_name(hash.query);
  } else {
    to->mutable_connection_properties()->set_source_ip(true);
  }
  // A retry to another host would go where the hash does not point.
  into->mutable_retry_policy()->clear_retry_host_predicate();
}

void fill_header(const std::pair<std::string, std::string>& header, bool overwrite,
                 envoy::config::core::v3::HeaderValueOption* into) {
  into->mutable_header()->set_key(header.first);
  // Envoy reads a percent sign as the start of a command.
  std::string value;
  for (const char c : header.second) value += c == '%' ? "%%" : std::string(1, c);
  into->mutable_header()->set_value(value);
  if (overwrite) {
    into->set_append_action(envoy::config::core::v3::HeaderValueOption::OVERWRITE_IF_EXISTS_OR_ADD);
  }
}

void fill_cors(const manifest::Cors& cors, route::Route* into) {
  envoy::extensions::filters::http::cors::v3::CorsPolicy policy;
  for (const std::string& origin : cors.origins) {
    fill_origin(origin, policy.add_allow_origin_string_match());
  }
  for (const std::string& prefix : cors.origin_prefixes) {
    policy.add_allow_origin_string_match()->set_prefix(prefix);
  }
  for (const std::string& pattern : cors.origin_patterns) {
    policy.add_allow_origin_string_match()->mutable_safe_regex()->set_regex(pattern);
  }
  policy.set_allow_methods(joined(cors.methods));
  policy.set_allow_headers(joined(cors.headers));
  policy.set_expose_headers(joined(cors.expose));
  if (cors.max_age) policy.set_max_age(std::to_string(*cors.max_age));
  if (cors.credentials) policy.mutable_allow_credentials()->set_value(true);
  policy.mutable_filter_enabled()->mutable_default_value()->set_numerator(100);
  policy.mutable_forward_not_matching_preflights()->set_value(cors.forward_unmatched);
  pack(policy, &(*into->mutable_typed_per_filter_config())["envoy.filters.http.cors"]);
}

void add_mirror(const std::string& cluster, double percent, route::RouteAction* into) {
  route::RouteAction::RequestMirrorPolicy* mirror = into->add_request_mirror_policies();
  mirror->set_cluster(cluster);
  mirror->set_disable_shadow_host_suffix_append(true);
  mirror->mutable_trace_sampled()->set_value(false);
  auto* share = mirror->mutable_runtime_fraction()->mutable_default_value();
  if (percent >= 100) {
    share->set_numerator(100);
    return;
  }
  share->set_denominator(envoy::type::v3::FractionalPercent::MILLION);
  share->set_numerator(static_cast<std::uint32_t>(std::lround(percent * 10'000)));
}

void set_redirect_status(std::uint16_t status, route::RedirectAction* into) {
  switch (status) {
    case 301:
      return into->set_response_code(route::RedirectAction::MOVED_PERMANENTLY);
    case 303:
      return into->set_response_code(route::RedirectAction::SEE_OTHER);
    case 307:
      return into->set_response_code(route::RedirectAction::TEMPORARY_REDIRECT);
    case 308:
      return into->set_response_code(route::RedirectAction::PERMANENT_REDIRECT);
    default:
      return into->set_response_code(route::RedirectAction::FOUND);
  }
}

void set_operation(const std::string& host, std::uint16_t port, route::Route* into) {
  into->mutable_decorator()->set_operation(host + ":" + std::to_string(port) + "/*");
}

bool keep_route(Build& build, const manifest::ObjectKey& author, route::VirtualHost* into) {
  route::Route& last = *into->mutable_routes(into->routes_size() - 1);
  std::string why;
  const RouteFault fault = check_route(last, why);
  if (fault == RouteFault::kNone) return true;
  if (fault == RouteFault::kMatch) {
    build.note(author, why + ": its requests are those of the other rules");
    into->mutable_routes()->RemoveLast();
    return false;
  }
  refuse_route(build, author, why, last);
  return true;
}

// Nothing else of it stays: it may be what Envoy does not take.
void refuse_route(Build& build, const manifest::ObjectKey& author, const std::string& why,
                  route::Route& route) {
  build.note(author, why + ": its requests are answered 500");
  route::Route refused;
  refused.set_name(route.name());
  *refused.mutable_match() = route.match();
  refused.mutable_direct_response()->set_status(500);
  route = std::move(refused);
}

}  // namespace mesh::control
