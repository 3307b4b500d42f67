#include "control/envoy/clusters.h"

#include <chrono>
#include <set>
#include <utility>

#include "control/envoy/destination_rules.h"
#include "control/envoy/endpoints.h"
#include "envoy/cluster.pb.h"
#include "envoy/endpoint.pb.h"
#include "envoy/internal_upstream.pb.h"
#include "envoy/tls.pb.h"
#include "envoy/upstream_http.pb.h"

namespace mesh::control {
namespace {

namespace cluster = envoy::config::cluster::v3;
namespace tls = envoy::extensions::transport_sockets::tls::v3;
namespace internal = envoy::extensions::transport_sockets::internal_upstream::v3;
using envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
using std::chrono::seconds;

constexpr std::string_view kHttpOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
constexpr std::string_view kSystemRoots = "/etc/ssl/certs/ca-certificates.crt";

void add_options(const HttpProtocolOptions& options, cluster::Cluster& into) {
  pack(options, &(*into.mutable_typed_extension_protocol_options())[std::string(kHttpOptions)]);
}

cluster::Cluster to_own_listener(std::string_view name, std::string_view listener) {
  cluster::Cluster to;
  fill_cluster(name, &to);
  to.set_type(cluster::Cluster::STATIC);
  auto* assignment = to.mutable_load_assignment();
  assignment->set_cluster_name(std::string(name));
  assignment->add_endpoints()
      ->add_lb_endpoints()
      ->mutable_endpoint()
      ->mutable_address()
      ->mutable_envoy_internal_address()
      ->set_server_listener_name(std::string(listener));
  fill_internal_transport(false, to.mutable_transport_socket());
  HttpProtocolOptions options;
  set_duration(options.mutable_common_http_protocol_options()->mutable_idle_timeout(),
               seconds(300));
  options.mutable_use_downstream_protocol_config()->mutable_http_protocol_options();
  options.mutable_use_downstream_protocol_config()->mutable_http2_protocol_options();
  add_options(options, to);
  return to;
}

void fill_hash(const manifest::ConsistentHash& hash, cluster::Cluster& to) {
  if (hash.maglev) {
    to.set_lb_policy(cluster::Cluster::MAGLEV);
    if (hash.table_size > 0) {
      to.mutable_maglev_lb_config()->mutable_table_size()->set_value(hash.table_size);
    }
    return;
  }
  to.set_lb_policy(cluster::Cluster::RING_HASH);
  to.mutable_ring_hash_lb_config()->mutable_minimum_ring_size()->set_value(
      hash.table_size > 0 ? hash.table_size : 1024);
}

void fill_slow_start(const manifest::Warmup& warmup, cluster::Cluster& to) {
  auto* config = to.lb_policy() == cluster::Cluster::ROUND_ROBIN
                     ? to.mutable_round_robin_lb_config()->mutable_slow_start_config()
                     : to.mutable_least_request_lb_config()->mutable_slow_start_config();
  set_duration(config->mutable_slow_start_window(), warmup.duration);
  config->mutable_min_weight_percent()->set_value(warmup.minimum_percent);
  if (warmup.aggression != 1) {
    config->mutable_aggression()->set_default_value(warmup.aggression);
    config->mutable_aggression()->set_runtime_key("weft.slow_start_aggression");
  }
}

void fill_balancing(const manifest::TrafficPolicy& policy, const CatalogService& service,
                    cluster::Cluster& to) {
  to.set_lb_policy(cluster::Cluster::LEAST_REQUEST);
  to.mutable_common_lb_config()->mutable_healthy_panic_threshold();
  if (weighs_localities(policy, service)) {
    to.mutable_common_lb_config()->mutable_locality_weighted_lb_config();
  }
  if (!policy.load_balancer) return;
  const manifest::LoadBalancer& balancer = *policy.load_balancer;
  if (balancer.simple == "ROUND_ROBIN") to.set_lb_policy(cluster::Cluster::ROUND_ROBIN);
  if (balancer.simple == "RANDOM") to.set_lb_policy(cluster::Cluster::RANDOM);
  if (balancer.hash) fill_hash(*balancer.hash, to);
  const bool warms = to.lb_policy() == cluster::Cluster::ROUND_ROBIN ||
                     to.lb_policy() == cluster::Cluster::LEAST_REQUEST;
  if (balancer.warmup && warms) fill_slow_start(*balancer.warmup, to);
}

void fill_outlier(const manifest::OutlierDetection& from, cluster::Cluster& to) {
  cluster::OutlierDetection* detection = to.mutable_outlier_detection();
  const auto all_or_none = [](std::uint32_t count) { return count > 0 ? 100U : 0U; };
  detection->mutable_enforcing_success_rate()->set_value(0);
  if (from.consecutive_5xx) {
    detection->mutable_consecutive_5xx()->set_value(*from.consecutive_5xx);
    detection->mutable_enforcing_consecutive_5xx()->set_value(all_or_none(*from.consecutive_5xx));
  }
  if (from.consecutive_gateway) {
    detection->mutable_consecutive_gateway_failure()->set_value(*from.consecutive_gateway);
    detection->mutable_enforcing_consecutive_gateway_failure()->set_value(
        all_or_none(*from.consecutive_gateway));
  }
  if (from.split_local) {
    detection->set_split_external_local_origin_errors(true);
    detection->mutable_enforcing_local_origin_success_rate()->set_value(0);
    const std::uint32_t count = from.consecutive_local.value_or(5);
    detection->mutable_consecutive_local_origin_failure()->set_value(count);
    detection->mutable_enforcing_consecutive_local_origin_failure()->set_value(all_or_none(count));
  }
  if (from.interval) set_duration(detection->mutable_interval(), *from.interval);
  if (from.base_ejection) {
    set_duration(detection->mutable_base_ejection_time(), *from.base_ejection);
  }
  if (from.max_ejection_percent) {
    detection->mutable_max_ejection_percent()->set_value(*from.max_ejection_percent);
  }
  if (from.min_health_percent) {
    to.mutable_common_lb_config()->mutable_healthy_panic_threshold()->set_value(
        *from.min_health_percent);
  }
}

void fill_keepalive(const manifest::TcpKeepalive& from, cluster::Cluster& to) {
  auto* keepalive = to.mutable_upstream_connection_options()->mutable_tcp_keepalive();
  const auto seconds_of = [](std::chrono::milliseconds time) {
    return static_cast<std::uint32_t>(time.count() / 1000);
  };
  if (from.probes > 0) keepalive->mutable_keepalive_probes()->set_value(from.probes);
  if (from.time.count() > 0) keepalive->mutable_keepalive_time()->set_value(seconds_of(from.time));
  if (from.interval.count() > 0) {
    keepalive->mutable_keepalive_interval()->set_value(seconds_of(from.interval));
  }
}

void fill_budget(const manifest::RetryBudget& from, cluster::Cluster& to) {
  auto* budget = to.mutable_circuit_breakers()->mutable_thresholds(0)->mutable_retry_budget();
  budget->mutable_budget_percent()->set_value(from.percent);
  budget->mutable_min_retry_concurrency()->set_value(from.min_concurrency);
}

// The limits that a rule sets, and the options of HTTP that come of it and of the port's protocol.
void fill_pool(const manifest::ConnectionPool& pool, cluster::Cluster& to,
               HttpProtocolOptions& options) {
  auto* limits = to.mutable_circuit_breakers()->mutable_thresholds(0);
  if (pool.max_connections) limits->mutable_max_connections()->set_value(*pool.max_connections);
  if (pool.max_pending) limits->mutable_max_pending_requests()->set_value(*pool.max_pending);
  if (pool.max_requests) limits->mutable_max_requests()->set_value(*pool.max_requests);
  if (pool.max_retries) limits->mutable_max_retries()->set_value(*pool.max_retries);
  if (pool.connect_timeout) set_duration(to.mutable_connect_timeout(), *pool.connect_timeout);
  if (pool.keepalive) fill_keepalive(*pool.keepalive, to);
  auto* common = options.mutable_common_http_protocol_options();
  if (pool.max_requests_per_connection && *pool.max_requests_per_connection > 0) {
    common->mutable_max_requests_per_connection()->set_value(*pool.max_requests_per_connection);
  }
  if (pool.http_idle_timeout) {
    set_duration(common->mutable_idle_timeout(), *pool.http_idle_timeout);
  }
  if (pool.max_duration) {
    set_duration(common->mutable_max_connection_duration(), *pool.max_duration);
  }
}

void fill_http(const ClusterUse& use, const manifest::TrafficPolicy& policy, cluster::Cluster& to) {
  HttpProtocolOptions options;
  if (policy.pool) fill_pool(*policy.pool, to, options);
  if (!use.http) return;
  const bool has_common = options.common_http_protocol_options().ByteSizeLong() > 0;
  if (!has_common) options.clear_common_http_protocol_options();
  const bool upgrade = policy.pool && policy.pool->h2_upgrade == "UPGRADE";
  envoy::config::core::v3::Http2ProtocolOptions http2;
  if (policy.pool && policy.pool->max_streams) {
    http2.mutable_max_concurrent_streams()->set_value(*policy.pool->max_streams);
  }
  if (policy.pool && policy.pool->http2_keepalive) {
    auto* keepalive = http2.mutable_connection_keepalive();
    set_duration(keepalive->mutable_interval(), policy.pool->http2_keepalive->interval);
    set_duration(keepalive->mutable_timeout(), policy.pool->http2_keepalive->timeout);
  }
  const bool as_client = policy.pool && policy.pool->use_client_protocol;
  if (as_client) {
    auto* same = options.mutable_use_downstream_protocol_config();
    same->mutable_http_protocol_options();
    *same->mutable_http2_protocol_options() = http2;
  } else if (use.port.protocol == PortProtocol::kHttp2 || upgrade) {
    *options.mutable_explicit_http_config()->mutable_http2_protocol_options() = http2;
  } else if (use.port.protocol == PortProtocol::kUnknown) {
    auto* same = options.mutable_use_downstream_protocol_config();
    same->mutable_http_protocol_options();
    *same->mutable_http2_protocol_options() = http2;
  } else if (has_common) {
    options.mutable_explicit_http_config()->mutable_http_protocol_options();
  } else {
    return;
  }
  add_options(options, to);
}

// TLS to the backend, inside the tunnel if there is one.
void fill_origination(const ClusterUse& use, const manifest::ClientTls& from, cluster::Cluster& to,
                      std::string& problem) {
  if (from.mode == "DISABLE") return;
  if (from.mode == "ISTIO_MUTUAL") {
    // Tunnels have it. Where there is none, service_endpoints leaves out who has none.
    if (to.type() != cluster::Cluster::EDS) {
      problem = "tls.mode ISTIO_MUTUAL: no tunnel leads to " + use.service->host +
                ", and it is not called in plaintext";
    }
    return;
  }
  if (!from.credential_name.empty()) {
    problem = "tls.credentialName: control never sends private keys; give files of the waypoint";
    return;
  }
  tls::UpstreamTlsContext context;
  context.set_sni(!from.sni.empty() ? from.sni : use.service->host);
  auto* common = context.mutable_common_tls_context();
  if (use.http && use.port.protocol == PortProtocol::kHttp2) common->add_alpn_protocols("h2");
  if (from.mode == "MUTUAL") {
    auto* own = common->add_tls_certificates();
    own->mutable_certificate_chain()->set_filename(from.client_certificate);
    own->mutable_private_key()->set_filename(from.private_key);
  }
  if (!from.insecure_skip_verify) {
    auto* peers = common->mutable_validation_context();
    peers->mutable_trusted_ca()->set_filename(
        from.ca_certificates.empty() ? std::string(kSystemRoots) : from.ca_certificates);
    if (!from.ca_crl.empty()) peers->mutable_crl()->set_filename(from.ca_crl);
    // Without names a certificate of anybody's would do: the host's own name is asked for.
    std::vector<std::string> names = from.subject_alt_names;
    if (names.empty()) names.push_back(context.sni());
    for (const std::string& name : names) {
      auto* match = peers->add_match_typed_subject_alt_names();
      const bool uri = name.find("://") != std::string::npos;
      match->set_san_type(uri ? tls::SubjectAltNameMatcher::URI : tls::SubjectAltNameMatcher::DNS);
      match->mutable_matcher()->set_exact(name);
    }
  }
  internal::InternalUpstreamTransport transport;
  auto* source = transport.add_passthrough_metadata();
  source->mutable_kind()->mutable_host();
  source->set_name(std::string(kOriginalDst));
  transport.mutable_transport_socket()->set_name("tls");
  pack(context, transport.mutable_transport_socket()->mutable_typed_config());
  to.mutable_transport_socket()->set_name("internal_upstream");
  pack(transport, to.mutable_transport_socket()->mutable_typed_config());
}

void fill_metadata(const ClusterUse& use, cluster::Cluster& to) {
  auto* metadata = to.mutable_metadata();
  auto& istio = *(*metadata->mutable_filter_metadata())["istio"].mutable_fields();
  auto& service = *istio["services"]
                       .mutable_list_value()
                       ->add_values()
                       ->mutable_struct_value()
                       ->mutable_fields();
  service["host"].set_string_value(use.service->host);
  service["name"].set_string_value(use.service->name);
  service["namespace"].set_string_value(use.service->ns);
  std::string subset = use.inbound ? (use.http ? "http" : "tcp") : "";
  if (use.subset != nullptr) {
    if (!subset.empty()) subset += '/';
    subset += use.subset->name;
  }
  if (!subset.empty()) istio["subset"].set_string_value(subset);
  if (use.rule != nullptr) {
    add_origin(metadata, "networking.istio.io/v1", "destination-rule", use.rule->metadata.ns,
               use.rule->metadata.name);
  }
}

// Where its endpoints come from.
void fill_discovery(const WaypointClient& client, const ClusterUse& use, cluster::Cluster& to) {
  const bool behind = calls_waypoint(use);  // then that is where its endpoints are
  if (use.service->is_entry && use.service->headless && !behind) {
    to.set_type(cluster::Cluster::ORIGINAL_DST);
    to.set_lb_policy(cluster::Cluster::CLUSTER_PROVIDED);
    return;
  }
  if (use.service->by_name && !behind) {
    to.set_type(cluster::Cluster::STRICT_DNS);
    to.set_dns_lookup_family(cluster::Cluster::V4_PREFERRED);
    to.set_respect_dns_ttl(true);
    set_duration(to.mutable_dns_refresh_rate(), seconds(60));
    *to.mutable_load_assignment() = named_endpoints(client, use);
    return;
  }
  to.set_type(cluster::Cluster::EDS);
  auto* source = to.mutable_eds_cluster_config();
  source->set_service_name(use.name);
  source->mutable_eds_config()->mutable_ads();
  source->mutable_eds_config()->mutable_initial_fetch_timeout();
  source->mutable_eds_config()->set_resource_api_version(envoy::config::core::v3::V3);
}

}  // namespace

cluster::Cluster main_internal_cluster() { return to_own_listener(kMainInternal, kMainInternal); }

cluster::Cluster encap_cluster() { return to_own_listener(kEncap, kConnectOriginate); }

cluster::Cluster connect_originate_cluster(const Settings& settings, const WaypointClient& client) {
  cluster::Cluster to;
  fill_cluster(kConnectOriginate, &to);
  to.set_type(cluster::Cluster::ORIGINAL_DST);
  to.set_lb_policy(cluster::Cluster::CLUSTER_PROVIDED);
  set_duration(to.mutable_cleanup_interval(), seconds(60));
  set_duration(to.mutable_connect_timeout(), seconds(10));
  auto* original = to.mutable_original_dst_lb_config();
  original->mutable_metadata_key()->set_key(std::string(kOriginalDst));
  original->mutable_metadata_key()->add_path()->set_key("waypoint");
  original->mutable_upstream_port_override()->set_value(15008);
  tls::UpstreamTlsContext context;
  fill_tls(settings, client, true, context.mutable_common_tls_context());
  to.mutable_transport_socket()->set_name("tls");
  pack(context, to.mutable_transport_socket()->mutable_typed_config());
  HttpProtocolOptions options;
  set_duration(options.mutable_common_http_protocol_options()->mutable_idle_timeout(),
               seconds(3600));
  options.mutable_explicit_http_config()->mutable_http2_protocol_options()->set_allow_connect(true);
  add_options(options, to);
  return to;
}

std::string_view annotation_of(const ClusterUse& use, std::string_view name) {
  std::string_view said;
  if (use.rule != nullptr) said = use.rule->metadata.annotation(name);
  if (!said.empty() || use.service->metadata == nullptr) return said;
  return use.service->metadata->annotation(name);
}

bool calls_waypoint(const ClusterUse& use) {
  return !use.inbound && !use.service->waypoint.empty();
}

bool needs_tunnel(const ClusterUse& use) {
  const auto tls = traffic_policy(use.rule, use.subset, use.port.number).tls;
  return tls && tls->mode == "ISTIO_MUTUAL";
}

bool hashes_connections(const ClusterUse& use) {
  const auto balancer = traffic_policy(use.rule, use.subset, use.port.number).load_balancer;
  return !use.http && balancer && balancer->hash && balancer->hash->source_ip;
}

cluster::Cluster service_cluster(const WaypointClient& client, const ClusterUse& use,
                                 std::string& problem) {
  const manifest::TrafficPolicy policy = traffic_policy(use.rule, use.subset, use.port.number);
  cluster::Cluster to;
  fill_cluster(use.name, &to);
  set_duration(to.mutable_connect_timeout(), seconds(10));
  fill_balancing(policy, *use.service, to);
  if (policy.retry_budget) fill_budget(*policy.retry_budget, to);
  if (policy.outlier) fill_outlier(*policy.outlier, to);
  fill_discovery(client, use, to);
  fill_http(use, policy, to);
  fill_metadata(use, to);
  fill_internal_transport(true, to.mutable_transport_socket());
  if (policy.tls) fill_origination(use, *policy.tls, to, problem);
  if (use.rule != nullptr && use.rule->closed) {
    problem = "it asks for TLS, cannot be read, and never was good here";
  }
  if (!problem.empty()) {
    to.set_type(cluster::Cluster::STATIC);
    to.set_lb_policy(cluster::Cluster::ROUND_ROBIN);
    to.clear_eds_cluster_config();
    to.mutable_load_assignment()->Clear();
    to.mutable_load_assignment()->set_cluster_name(use.name);
  }
  return to;
}

}  // namespace mesh::control
