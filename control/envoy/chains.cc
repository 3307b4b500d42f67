#include "control/envoy/chains.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "control/envoy/access_logs.h"
#include "control/envoy/authentication.h"
#include "control/envoy/authorization.h"
#include "control/envoy/authorizers.h"
#include "control/envoy/build.h"
#include "control/envoy/gateway_routes.h"
#include "control/envoy/global_limits.h"
#include "control/envoy/local_limits.h"
#include "control/envoy/processors.h"
#include "control/envoy/route_pieces.h"
#include "control/envoy/tracing.h"
#include "control/envoy/virtual_routes.h"
#include "envoy/cors.pb.h"
#include "envoy/fault.pb.h"
#include "envoy/grpc_stats.pb.h"
#include "envoy/http_connection_manager.pb.h"
#include "envoy/http_rbac.pb.h"
#include "envoy/jwt_authn.pb.h"
#include "envoy/listener.pb.h"
#include "envoy/local_ratelimit.pb.h"
#include "envoy/network_rbac.pb.h"
#include "envoy/network_set_filter_state.pb.h"
#include "envoy/ratelimit.pb.h"
#include "envoy/request_id.pb.h"
#include "envoy/router.pb.h"
#include "envoy/tcp_proxy.pb.h"

namespace mesh::control {
namespace {

namespace hcm = envoy::extensions::filters::network::http_connection_manager::v3;
namespace listener = envoy::config::listener::v3;
namespace route = envoy::config::route::v3;
namespace filters = envoy::extensions::filters;
using hcm::HttpConnectionManager;

void add_http_filter(const char* name, const google::protobuf::MessageLite& config,
                     HttpConnectionManager* into) {
  hcm::HttpFilter* filter = into->add_http_filters();
  filter->set_name(name);
  pack(config, filter->mutable_typed_config());
}

void add_http_policy(Build& build, const CatalogService* service, HttpConnectionManager* into) {
  if (is_closed(build, service)) {
    filters::http::rbac::v3::RBAC filter;
    filter.mutable_rules()->set_action(envoy::config::rbac::v3::RBAC::DENY);
    fill_always(&(*filter.mutable_rules()->mutable_policies())["closed"]);
    add_http_filter("envoy.filters.http.rbac", filter, into);
  }
  add_authorizers(build, service, into);
  filters::http::jwt_authn::v3::JwtAuthentication authentication;
  if (fill_authentication(build, service, &authentication)) {
    add_http_filter("envoy.filters.http.jwt_authn", authentication, into);
  }
  for (const RbacFilter& rules : authorization_filters(
           build.world, build.settings, *build.client.gateway, service, RbacSight::kHttp)) {
    filters::http::rbac::v3::RBAC filter;
    if (rules.rules) *filter.mutable_rules() = *rules.rules;
    if (rules.shadow) *filter.mutable_shadow_rules() = *rules.shadow;
    filter.set_shadow_rules_stat_prefix(rules.rules_prefix);
    add_http_filter("envoy.filters.http.rbac", filter, into);
  }
}

// Everything that an HTTP chain has whatever it is for; routes are the caller's.
HttpConnectionManager http_manager(Build& build, const CatalogService* service,
                                   std::uint16_t port) {
  HttpConnectionManager to;
  to.set_stat_prefix("inbound_0.0.0.0_" + std::to_string(port) + ";");
  to.set_server_name("istio-envoy");
  to.mutable_use_remote_address()->set_value(false);
  to.set_proxy_100_continue(true);
  to.mutable_stream_idle_timeout();
  to.mutable_normalize_path()->set_value(true);
  to.set_path_with_escaped_slashes_action(HttpConnectionManager::KEEP_UNCHANGED);
  to.add_upgrade_configs()->set_upgrade_type("websocket");
  envoy::extensions::request_id::uuid::v3::UuidRequestIdConfig ids;
  ids.mutable_use_request_id_for_trace_sampling()->set_value(true);
  pack(ids, to.mutable_request_id_extension()->mutable_typed_config());
  const ChainTelemetry telemetry = telemetry_for(build, service);
  if (telemetry.tracing) fill_tracing(build, *telemetry.tracing, &to);
  add_access_logs(telemetry, to.mutable_access_log());

  add_http_policy(build, service, &to);
  add_processor(build, service, &to);
  filters::http::grpc_stats::v3::FilterConfig stats;
  stats.set_emit_filter_state(true);
  stats.mutable_stats_for_all_methods()->set_value(false);
  add_http_filter("envoy.filters.http.grpc_stats", stats, &to);
  add_http_filter("envoy.filters.http.fault", filters::http::fault::v3::HTTPFault(), &to);
  add_http_filter("envoy.filters.http.cors", filters::http::cors::v3::Cors(), &to);
  add_http_filter("envoy.filters.http.router", filters::http::router::v3::Router(), &to);
  return to;
}

// After policy, and after others that were added so.
void add_after_policy(const char* name, const google::protobuf::MessageLite& config,
                      HttpConnectionManager* to) {
  add_http_filter(name, config, to);
  auto* all = to->mutable_http_filters();
  for (int at = all->size() - 1; at > 0; --at) {
    all->SwapElements(at, at - 1);
    if (all->Get(at).name() == "envoy.filters.http.grpc_stats") break;
  }
}

// Those that the routes need; what is local is asked first.
void add_limits(Build& build, const route::VirtualHost& host, HttpConnectionManager* to) {
  if (has_local_limits(host)) {
    // Off, but for the routes that say otherwise.
    filters::http::local_ratelimit::v3::LocalRateLimit off;
    off.set_stat_prefix("local_rate_limit");
    add_after_policy(kLocalLimitFilter, off, to);
  }
  for (const auto& filter : global_limit_filters(build, host)) {
    add_after_policy(kGlobalLimitFilter, filter, to);
  }
}

route::VirtualHost* start_routes(const std::string& name, std::uint16_t port,
                                 HttpConnectionManager* manager) {
  route::RouteConfiguration* routes = manager->mutable_route_config();
  routes->set_name(name);
  routes->mutable_validate_clusters()->set_value(false);
  routes->mutable_max_direct_response_body_size_bytes()->set_value(1 << 20);
  route::VirtualHost* host = routes->add_virtual_hosts();
  host->set_name("inbound|http|" + std::to_string(port));
  host->add_domains("*");
  return host;
}

// Everything to one cluster.
void add_default_route(const std::string& cluster, const std::string& host, std::uint16_t port,
                       const manifest::TrafficPolicy& policy, route::VirtualHost* into) {
  route::Route* to = into->add_routes();
  to->set_name("default");
  set_operation(host, port, to);
  to->mutable_match()->set_prefix("/");
  fill_defaults(to->mutable_route());
  to->mutable_route()->set_cluster(cluster);
  fill_hash_policy(policy, to->mutable_route());
}

void add_network_filter(const char* name, const google::protobuf::MessageLite& config,
                        listener::FilterChain* into) {
  listener::Filter* filter = into->add_filters();
  filter->set_name(name);
  pack(config, filter->mutable_typed_config());
}

void add_tcp_policy(Build& build, const CatalogService* service, listener::FilterChain* into) {
  for (const RbacFilter& rules : authorization_filters(
           build.world, build.settings, *build.client.gateway, service, RbacSight::kTcp)) {
    filters::network::rbac::v3::RBAC filter;
    if (rules.rules) *filter.mutable_rules() = *rules.rules;
    if (rules.shadow) *filter.mutable_shadow_rules() = *rules.shadow;
    filter.set_stat_prefix("tcp.");
    filter.set_shadow_rules_stat_prefix(rules.rules_prefix);
    add_network_filter("envoy.filters.network.rbac", filter, into);
  }
}

void add_http_manager(const HttpConnectionManager& manager, listener::FilterChain* into) {
  add_network_filter("envoy.filters.network.http_connection_manager", manager, into);
}

// Connections of one client go to one endpoint of those clusters that ask for it.
void fill_source_hash(const Build& build,
                      const std::vector<std::pair<std::string, std::uint32_t>>& backends,
                      filters::network::tcp_proxy::v3::TcpProxy& to) {
  const bool asked = std::ranges::any_of(backends, [&](const auto& backend) {
    const auto use = build.clusters.find(backend.first);
    return use != build.clusters.end() && hashes_connections(use->second);
  });
  if (asked) to.add_hash_policy()->mutable_source_ip();
}

// The tunnel onwards is for the address of the tunnel that came in.
void keep_destination(listener::FilterChain* into) {
  filters::network::set_filter_state::v3::Config config;
  auto* value = config.add_on_new_connection();
  const std::string key = std::string(kOriginalDst) + ".local_ip";
  value->set_object_key(key);
  value->mutable_format_string()->mutable_text_format_source()->set_inline_string("%FILTER_STATE(" +
                                                                                  key + ":PLAIN)%");
  value->set_shared_with_upstream(filters::common::set_filter_state::v3::FilterStateValue::ONCE);
  add_network_filter("connect_authority", config, into);
}

}  // namespace

listener::FilterChain http_chain(Build& build, const CatalogService& service,
                                 const CatalogPort& port) {
  const std::string cluster = build.cluster(service, port.number, true);
  HttpConnectionManager manager = http_manager(build, &service, port.number);
  route::VirtualHost* host = start_routes(cluster, port.number, &manager);
  const bool routed = add_gateway_routes(build, service, port, host) ||
                      add_virtual_routes(build, service, port, host);
  if (!routed) {
    add_default_route(cluster, service.host, port.number,
                      traffic_policy(build.rules.of(service), nullptr, port.number), host);
  }
  add_limits(build, *host, &manager);
  listener::FilterChain chain;
  chain.set_name(cluster);
  add_http_manager(manager, &chain);
  return chain;
}

listener::FilterChain tcp_chain(Build& build, const CatalogService& service,
                                const CatalogPort& port) {
  const std::string cluster = build.cluster(service, port.number, false);
  listener::FilterChain chain;
  chain.set_name(cluster);
  // Of a port that says it is no HTTP nobody expects more.
  if (port.protocol == PortProtocol::kUnknown) deny_unprocessed(build, &service, &chain);
  add_tcp_policy(build, &service, &chain);
  filters::network::tcp_proxy::v3::TcpProxy proxy;
  add_access_logs(telemetry_for(build, &service), proxy.mutable_access_log());
  proxy.set_stat_prefix(cluster);
  auto backends = tcp_backends(build, service, port);
  if (backends.empty()) backends = virtual_tcp_backends(build, service, port);
  if (backends.empty()) backends.emplace_back(cluster, 1);
  if (backends.size() == 1) {
    proxy.set_cluster(backends.front().first);
  } else {
    for (const auto& [name, weight] : backends) {
      auto* to = proxy.mutable_weighted_clusters()->add_clusters();
      to->set_name(name);
      to->set_weight(weight);
    }
  }
  fill_source_hash(build, backends, proxy);
  const manifest::TrafficPolicy policy =
      traffic_policy(build.rules.of(service), nullptr, port.number);
  if (policy.pool && policy.pool->tcp_idle_timeout) {
    set_duration(proxy.mutable_idle_timeout(), *policy.pool->tcp_idle_timeout);
  }
  if (policy.pool && policy.pool->max_duration) {
    set_duration(proxy.mutable_max_downstream_connection_duration(), *policy.pool->max_duration);
  }
  add_network_filter("envoy.filters.network.tcp_proxy", proxy, &chain);
  return chain;
}

listener::FilterChain direct_http_chain(Build& build) {
  HttpConnectionManager manager = http_manager(build, nullptr, 0);
  route::VirtualHost* host = start_routes(std::string(kEncap), 0, &manager);
  add_default_route(std::string(kEncap), "", 0, {}, host);
  listener::FilterChain chain;
  chain.set_name("direct-http");
  keep_destination(&chain);
  add_http_manager(manager, &chain);
  return chain;
}

listener::FilterChain direct_tcp_chain(Build& build) {
  listener::FilterChain chain;
  chain.set_name("direct-tcp");
  keep_destination(&chain);
  deny_unprocessed(build, nullptr, &chain);
  add_tcp_policy(build, nullptr, &chain);
  filters::network::tcp_proxy::v3::TcpProxy proxy;
  add_access_logs(telemetry_for(build, nullptr), proxy.mutable_access_log());
  proxy.set_stat_prefix(std::string(kEncap));
  proxy.set_cluster(std::string(kEncap));
  add_network_filter("envoy.filters.network.tcp_proxy", proxy, &chain);
  return chain;
}

}  // namespace mesh::control
