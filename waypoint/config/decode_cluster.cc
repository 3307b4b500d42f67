// Clusters: envoy.config.cluster.v3.

#include <string>

#include "waypoint/config/decode.h"
#include "waypoint/config/decode_parts.h"

namespace mesh::waypoint::config {

namespace {

using namespace parts;
using std::chrono::milliseconds;

constexpr std::string_view kTls = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
constexpr std::string_view kRaw = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer";
constexpr std::string_view kInternal =
    "envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport";

double percent(Input& in, const Tree& at, std::string_view name, double otherwise) {
  const Tree* found = in.object(at, name);
  return found == nullptr ? otherwise : in.real(*found, "value");
}

double runtime_double(Input& in, const Tree& at, std::string_view name, double otherwise) {
  const Tree* found = in.object(at, name);
  if (found == nullptr) return otherwise;
  Input::overlook(*found, {"runtimeKey"});
  return in.real(*found, "defaultValue");
}

// What is inside a transport socket decides whether bytes are protected: all of it counts.
struct Socket {
  bool known = false;
  std::optional<UpstreamTls> tls = {};
};

Socket transport_socket(Input& in, const Tree& at) {
  Input::secure(at);
  Input::overlook(at, {"name"});
  Socket socket;
  const Tree* config = in.object(at, "typedConfig");
  if (config == nullptr) return socket;
  const std::string_view type = config->any_type();
  if (type == kTls) {
    socket.known = true;
    socket.tls = upstream_tls(in, *config);
  } else if (type == kRaw) {
    socket.known = true;
  } else if (type == kInternal) {
    // The way to an internal listener: which metadata goes along, and raw bytes (or TLS) within.
    Input::overlook(*config, {"passthroughMetadata"});
    const Tree* inner = in.object(*config, "transportSocket");
    if (inner == nullptr) {
      socket.known = true;
    } else {
      socket = transport_socket(in, *inner);
    }
  }
  if (!socket.known) in.refuse(at, "the transport " + std::string(type) + " is not supported");
  return socket;
}

// Which socket an endpoint gets, by its metadata: a tunnel, Istio's own TLS, or plain.
void transport_matches(Input& in, const Tree& at, Cluster& cluster) {
  for (const Tree* one : in.list(at, "transportSocketMatches")) {
    Input::secure(*one);
    Input::overlook(*one, {"name"});
    const Tree* match = in.object(*one, "match");
    const Tree* socket_of = in.object(*one, "transportSocket");
    if (socket_of == nullptr) {
      in.refuse(*one, "no transport");
      continue;
    }
    const Socket socket = transport_socket(in, *socket_of);
    if (match == nullptr || match->children.empty()) {
      cluster.tls = socket.tls;
    } else if (in.text(*match, "tunnel") == "http") {
      // Endpoints with a tunnel are told by their address.
    } else if (in.text(*match, "tlsMode") == "istio") {
      cluster.tls_istio = socket.tls;
    } else {
      in.refuse(*match, "a condition that is not supported");
    }
  }
}

void circuit_breakers(Input& in, const Tree& at, Cluster& cluster) {
  const Tree* breakers = in.object(at, "circuitBreakers");
  if (breakers == nullptr) return;
  for (const Tree* one : in.list(*breakers, "thresholds")) {
    const bool high = in.choice(*one, "priority", {"DEFAULT", "HIGH"}) == 1;
    CircuitBreaker& breaker = high ? cluster.high : cluster.normal;
    const auto limit = [&](std::string_view name, std::uint32_t& to) {
      to = static_cast<std::uint32_t>(in.number(*one, name, to));
    };
    limit("maxConnections", breaker.max_connections);
    limit("maxPendingRequests", breaker.max_pending);
    limit("maxRequests", breaker.max_requests);
    limit("maxRetries", breaker.max_retries);
    breaker.track_remaining = in.flag(*one, "trackRemaining");
    if (const Tree* budget = in.object(*one, "retryBudget")) {
      breaker.budget = CircuitBreaker::Budget{.percent = percent(in, *budget, "budgetPercent", 20),
                                              .min_concurrency = static_cast<std::uint32_t>(
                                                  in.number(*budget, "minRetryConcurrency", 3))};
    }
  }
}

OutlierDetection outlier_detection(Input& in, const Tree& at) {
  OutlierDetection made;
  const auto count = [&](std::string_view name, std::uint32_t& to) {
    to = static_cast<std::uint32_t>(in.number(at, name, to));
  };
  const auto share = [&](std::string_view name, std::uint32_t& to) {
    to = static_cast<std::uint32_t>(in.number(at, name, to, 100));
  };
  count("consecutive5xx", made.consecutive_5xx);
  count("consecutiveGatewayFailure", made.consecutive_gateway);
  count("consecutiveLocalOriginFailure", made.consecutive_local);
  made.interval = in.duration(at, "interval", made.interval);
  made.base_ejection = in.duration(at, "baseEjectionTime", made.base_ejection);
  made.max_ejection =
      in.duration(at, "maxEjectionTime", std::max(made.max_ejection, made.base_ejection));
  made.max_jitter = in.duration(at, "maxEjectionTimeJitter", made.max_jitter);
  share("maxEjectionPercent", made.max_ejection_percent);
  share("enforcingConsecutive5xx", made.enforce_5xx);
  share("enforcingConsecutiveGatewayFailure", made.enforce_gateway);
  share("enforcingConsecutiveLocalOriginFailure", made.enforce_local);
  share("enforcingSuccessRate", made.enforce_success_rate);
  share("enforcingLocalOriginSuccessRate", made.enforce_local_success_rate);
  share("enforcingFailurePercentage", made.enforce_failure);
  share("enforcingFailurePercentageLocalOrigin", made.enforce_local_failure);
  count("successRateMinimumHosts", made.success_rate_min_hosts);
  count("successRateRequestVolume", made.success_rate_volume);
  count("successRateStdevFactor", made.success_rate_stdev);
  count("failurePercentageMinimumHosts", made.failure_min_hosts);
  count("failurePercentageRequestVolume", made.failure_volume);
  share("failurePercentageThreshold", made.failure_threshold);
  made.split_local = in.flag(at, "splitExternalLocalOriginErrors");
  made.always_eject_one = in.flag(at, "alwaysEjectOneHost");
  made.active_health_unejects = in.flag(at, "successfulActiveHealthCheckUnejectHost", true);
  if (made.interval.count() == 0) in.refuse(at, "an interval of 0");
  return made;
}

void slow_start(Input& in, const Tree* config, LoadBalancing& how) {
  const Tree* at = config == nullptr ? nullptr : in.object(*config, "slowStartConfig");
  if (at == nullptr) return;
  how.slow_start.window = in.duration(*at, "slowStartWindow", milliseconds(0));
  how.slow_start.aggression = runtime_double(in, *at, "aggression", 1.0);
  how.slow_start.min_weight_percent = percent(in, *at, "minWeightPercent", 10);
  if (how.slow_start.aggression <= 0) in.refuse(*at, "an aggression that is not above 0");
}

void hashing(Input& in, const Tree& at, LoadBalancing& how) {
  if (const Tree* ring = in.object(at, "ringHashLbConfig")) {
    constexpr std::uint64_t kEnvoyMost = 8'388'608;
    const std::uint64_t most = how.max_ring;
    how.min_ring = std::min(in.number(*ring, "minimumRingSize", 1'024, kEnvoyMost), most);
    how.max_ring = std::min(in.number(*ring, "maximumRingSize", kEnvoyMost, kEnvoyMost), most);
    how.murmur_hash = in.choice(*ring, "hashFunction", {"XX_HASH", "MURMUR_HASH_2"}) == 1;
    if (how.min_ring > how.max_ring) in.refuse(*ring, "a minimum above the maximum");
    if (how.murmur_hash) in.note(*ring, "hashFunction MURMUR_HASH_2: XX_HASH is used");
  }
  if (const Tree* maglev = in.object(at, "maglevLbConfig")) {
    how.maglev_table = in.number(*maglev, "tableSize", how.maglev_table, kMaxMaglevTable);
    if (!is_prime(how.maglev_table)) in.refuse(*maglev, "a table size that is not a prime");
  }
}

LoadBalancing balancing(Input& in, const Tree& at) {
  using Policy = LoadBalancing::Policy;
  static constexpr Policy kPolicies[] = {Policy::kRoundRobin, Policy::kLeastRequest,
                                         Policy::kRingHash,   Policy::kRandom,
                                         Policy::kMaglev,     Policy::kPassthrough};
  LoadBalancing how;
  how.policy = kPolicies[in.choice(
      at, "lbPolicy",
      {"ROUND_ROBIN", "LEAST_REQUEST", "RING_HASH", "RANDOM", "MAGLEV", "CLUSTER_PROVIDED"})];
  slow_start(in, in.object(at, "roundRobinLbConfig"), how);
  if (const Tree* least = in.object(at, "leastRequestLbConfig")) {
    how.choices = static_cast<std::uint32_t>(in.number(*least, "choiceCount", 2, 16));
    how.active_request_bias = runtime_double(in, *least, "activeRequestBias", 1.0);
    slow_start(in, least, how);
  }
  hashing(in, at, how);
  const Tree* common = in.object(at, "commonLbConfig");
  if (common == nullptr) return how;
  how.panic_threshold = percent(in, *common, "healthyPanicThreshold", 50);
  if (const Tree* zones = in.object(*common, "zoneAwareLbConfig")) {
    how.fail_in_panic = in.flag(*zones, "failTrafficOnPanic");
  }
  how.locality_weighted = in.object(*common, "localityWeightedLbConfig") != nullptr;
  if (const Tree* consistent = in.object(*common, "consistentHashingLbConfig")) {
    how.hash_by_hostname = in.flag(*consistent, "useHostnameForHashing");
  }
  Input::overlook(*common, {"updateMergeWindow"});
  return how;
}

void http_options(Input& in, const Tree& at, Cluster& cluster) {
  Http& http = cluster.http;
  const Tree* chosen = nullptr;
  const auto which =
      in.one_of(at, {"explicitHttpConfig", "useDownstreamProtocolConfig", "autoConfig"});
  if (!which.empty()) chosen = in.object(at, which);
  const Tree* h2 = nullptr;
  if (chosen != nullptr) {
    h2 = in.object(*chosen, "http2ProtocolOptions");
    Input::overlook(*chosen, {"httpProtocolOptions"});
  }
  if (which == "explicitHttpConfig") {
    http.version = h2 != nullptr ? Http::Version::kHttp2 : Http::Version::kHttp1;
  } else {
    http.version = Http::Version::kAsDownstream;
  }
  if (h2 != nullptr) {
    http.max_concurrent_streams =
        static_cast<std::uint32_t>(in.number(*h2, "maxConcurrentStreams"));
    if (const Tree* alive = in.object(*h2, "connectionKeepalive")) {
      http.keepalive_interval = in.duration(*alive, "interval", milliseconds(0));
      http.keepalive_timeout = in.duration(*alive, "timeout", milliseconds(0));
    }
    Input::overlook(*h2,
                    {"allowConnect", "initialStreamWindowSize", "initialConnectionWindowSize"});
  }
  if (const Tree* common = in.object(at, "commonHttpProtocolOptions")) {
    http.idle_timeout = in.duration(*common, "idleTimeout");
    http.max_connection_duration = in.duration(*common, "maxConnectionDuration", milliseconds(0));
    http.max_stream_duration = in.duration(*common, "maxStreamDuration", milliseconds(0));
    http.max_requests_per_connection =
        static_cast<std::uint32_t>(in.number(*common, "maxRequestsPerConnection"));
  }
  if (const Tree* upstream = in.object(at, "upstreamHttpProtocolOptions")) {
    const bool automatic = in.flag(*upstream, "autoSni");
    if (cluster.tls) cluster.tls->auto_sni = automatic;
    if (in.flag(*upstream, "autoSanValidation")) {
      // The name that is dialled is the name that is verified; without a list we do just that.
      if (!cluster.tls) in.note(*upstream, "autoSanValidation without TLS");
    }
  }
}

void metadata(Input& in, const Tree& at, Cluster& cluster) {
  const Tree* metadata = in.object(at, "metadata");
  const Tree* filters = metadata == nullptr ? nullptr : in.object(*metadata, "filterMetadata");
  const Tree* istio = filters == nullptr ? nullptr : in.object(*filters, "istio");
  const Tree* weft = filters == nullptr ? nullptr : in.object(*filters, "weft");
  Input::overlook(metadata);
  // A balancer that Envoy has no name for: it keeps to lbPolicy, and so does who knows no better.
  if (weft != nullptr && in.choice(*weft, "loadBalancer", {"", "PEAK_EWMA"}) == 1) {
    cluster.balancing.policy = LoadBalancing::Policy::kPeakEwma;
  }
  if (istio == nullptr) return;
  cluster.origin = in.text(*istio, "config");
  const auto services = in.list(*istio, "services");
  if (services.empty()) return;
  cluster.service_host = in.text(*services[0], "host");
  cluster.service_name = in.text(*services[0], "name");
  cluster.service_namespace = in.text(*services[0], "namespace");
}

// The internal listener behind a cluster whose one endpoint is that listener and nobody in
// particular. Null: an ordinary cluster.
const Tree* leads_to_listener(const Tree& assignment) {
  const Tree* at = assignment.find("endpoints");
  for (const std::string_view step : {"lbEndpoints", ""}) {
    if (at == nullptr || at->children.size() != 1) return nullptr;
    at = at->children[0].get();
    if (!step.empty()) at = at->find(step);
  }
  for (const std::string_view step : {"endpoint", "address", "envoyInternalAddress"}) {
    if (at != nullptr) at = at->find(step);
  }
  return at == nullptr || at->has("endpointId") ? nullptr : at->find("serverListenerName");
}

void discovery(Input& in, const Tree& at, Cluster& cluster) {
  using Discovery = Cluster::Discovery;
  static constexpr Discovery kTypes[] = {Discovery::kStatic, Discovery::kStrictDns,
                                         Discovery::kLogicalDns, Discovery::kEds,
                                         Discovery::kOriginalDst};
  cluster.discovery =
      kTypes[in.choice(at, "type", {"STATIC", "STRICT_DNS", "LOGICAL_DNS", "EDS", "ORIGINAL_DST"})];
  if (const Tree* eds = in.object(at, "edsClusterConfig")) {
    cluster.eds_name = in.text(*eds, "serviceName");
    Input::overlook(*eds, {"edsConfig"});  // ADS is where everything comes from
  }
  const Tree* assignment = in.object(at, "loadAssignment");
  if (assignment != nullptr && leads_to_listener(*assignment) != nullptr) {
    // Plumbing of Envoy's: what reaches connect_originate is a tunnel to where the client went.
    cluster.discovery = Discovery::kOriginalDst;
    cluster.balancing.policy = LoadBalancing::Policy::kPassthrough;
    Input::overlook(assignment);
  } else if (assignment != nullptr) {
    cluster.inline_endpoints = std::make_shared<const Endpoints>(endpoints_of(in, *assignment));
  }
  cluster.dns_refresh = in.duration(at, "dnsRefreshRate", cluster.dns_refresh);
  cluster.respect_dns_ttl = in.flag(at, "respectDnsTtl");
  cluster.dns_family = static_cast<Cluster::DnsFamily>(
      in.choice(at, "dnsLookupFamily", {"AUTO", "V4_ONLY", "V6_ONLY", "V4_PREFERRED", "ALL"}));
  if (const Tree* failing = in.object(at, "dnsFailureRefreshRate")) {
    cluster.dns_failure_refresh = in.duration(*failing, "baseInterval");
    Input::overlook(*failing, {"maxInterval"});
  }
  Input::overlook(at, {"cleanupInterval", "originalDstLbConfig"});
}

}  // namespace

Cluster cluster_of(Input& in, const Tree& at) {
  Cluster cluster{.name = in.text(at, "name"), .stat_name = in.text(at, "altStatName")};
  if (cluster.name.empty()) in.refuse(at, "a cluster without a name");
  cluster.balancing = balancing(in, at);
  discovery(in, at, cluster);
  cluster.connect_timeout = in.duration(at, "connectTimeout", cluster.connect_timeout);
  circuit_breakers(in, at, cluster);
  if (const Tree* outlier = in.object(at, "outlierDetection")) {
    cluster.outlier = outlier_detection(in, *outlier);
  }
  for (const Tree* one : in.list(at, "healthChecks")) {
    if (cluster.health_check) in.refuse(*one, "a second health check");
    cluster.health_check = health_check(in, *one);
  }
  if (const Tree* socket = in.object(at, "transportSocket")) {
    cluster.tls = transport_socket(in, *socket).tls;
  }
  transport_matches(in, at, cluster);
  for (const Tree* entry : in.map(at, "typedExtensionProtocolOptions")) {
    if (entry->any_type() == "envoy.extensions.upstreams.http.v3.HttpProtocolOptions") {
      http_options(in, *entry, cluster);
    } else {
      in.note(*entry, "not supported");
    }
  }
  if (const Tree* connection = in.object(at, "upstreamConnectionOptions")) {
    if (const Tree* alive = in.object(*connection, "tcpKeepalive")) {
      cluster.keepalive = TcpKeepalive{
          .probes = static_cast<std::uint32_t>(in.number(*alive, "keepaliveProbes", 0, 127)),
          .time_s = static_cast<std::uint32_t>(in.number(*alive, "keepaliveTime", 0, 32'767)),
          .interval_s =
              static_cast<std::uint32_t>(in.number(*alive, "keepaliveInterval", 0, 32'767))};
    }
  }
  metadata(in, at, cluster);
  Input::overlook(at, {"filters"});  // Istio's peers telling each other who they are
  return cluster;
}

}  // namespace mesh::waypoint::config
