#pragma once
// Where requests go: clusters (how to talk to, choose among, and give up on) and their endpoints.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mesh/net/address.h"
#include "waypoint/config/match.h"

namespace mesh::waypoint::config {

struct Endpoint {
  enum class Transport : std::uint8_t {
    kHbone,  // a tunnel to `via`, or else to address.ip:15008, whose CONNECT names `address`
    kPlain,  // as the cluster's TLS says
  };
  enum class Health : std::uint8_t { kHealthy, kDegraded, kUnhealthy, kDraining };

  net::SocketAddress address = {};
  std::optional<net::SocketAddress> via = {};  // another waypoint, which `address` is behind
  std::string hostname = {};                   // not empty: resolve it, address.port counts
  bool resolved = false;                       // `address` is one of `hostname`'s
  Transport transport = Transport::kHbone;
  Health health = Health::kUnhealthy;
  std::uint32_t weight = 1;
  std::uint32_t group = 0;  // in Endpoints::groups
  // "web-0;shop;web;v1;Kubernetes": workload, namespace, service, version, cluster; for telemetry.
  std::string workload = {};
  bool tls_istio = false;        // metadata tlsMode: istio
  bool unchecked = false;        // health checks pass it over
  std::uint16_t check_port = 0;  // where it is checked; 0: where it is asked
  std::string check_host = {};   // instead of HealthCheck::host

  // What counts as the same host between updates, and what hashing uses.
  std::string key() const;
};

// A locality at a priority.
struct EndpointGroup {
  std::string region = {};
  std::string zone = {};
  std::string sub_zone = {};
  std::uint32_t priority = 0;
  std::uint32_t weight = 0;  // of the locality; 0 with locality weights: gets nothing
  std::uint32_t first = 0;   // endpoints [first, first + count)
  std::uint32_t count = 0;
};

struct Endpoints {
  std::string name = {};
  std::vector<Endpoint> all = {};          // by group
  std::vector<EndpointGroup> groups = {};  // by priority
  std::uint32_t priorities = 0;
  std::uint32_t overprovisioning = 140;  // percent
  bool weighted_priority_health = false;
};
using EndpointsPtr = std::shared_ptr<const Endpoints>;

struct CircuitBreaker {
  static constexpr std::uint32_t kUnlimited = 0xffffffff;
  std::uint32_t max_connections = 1024;
  std::uint32_t max_pending = 1024;
  std::uint32_t max_requests = 1024;
  std::uint32_t max_retries = 3;
  // Set: counts instead of max_retries.
  struct Budget {
    double percent = 20;
    std::uint32_t min_concurrency = 3;
  };
  std::optional<Budget> budget = {};
  bool track_remaining = false;
};

// Envoy's figures; see waypoint/balance/outlier.h.
struct OutlierDetection {
  std::uint32_t consecutive_5xx = 5;
  std::uint32_t consecutive_gateway = 5;
  std::uint32_t consecutive_local = 5;
  std::chrono::milliseconds interval{10'000};
  std::chrono::milliseconds base_ejection{30'000};
  std::chrono::milliseconds max_ejection{300'000};
  std::chrono::milliseconds max_jitter{0};
  std::uint32_t max_ejection_percent = 10;
  std::uint32_t enforce_5xx = 100;
  std::uint32_t enforce_gateway = 0;
  std::uint32_t enforce_local = 100;
  std::uint32_t enforce_success_rate = 100;
  std::uint32_t enforce_local_success_rate = 100;
  std::uint32_t success_rate_min_hosts = 5;
  std::uint32_t success_rate_volume = 100;
  std::uint32_t success_rate_stdev = 1900;  // thousandths
  std::uint32_t failure_threshold = 85;
  std::uint32_t enforce_failure = 0;
  std::uint32_t enforce_local_failure = 0;
  std::uint32_t failure_min_hosts = 5;
  std::uint32_t failure_volume = 50;
  bool split_local = false;
  bool always_eject_one = false;
  bool active_health_unejects = true;
};

struct SlowStart {
  std::chrono::milliseconds window{0};
  double aggression = 1.0;
  double min_weight_percent = 10;
};

struct LoadBalancing {
  enum class Policy : std::uint8_t {
    kRoundRobin,
    kLeastRequest,
    kRandom,
    kRingHash,
    kMaglev,
    kPeakEwma,     // ours: metadata weft.loadBalancer asks for it
    kPassthrough,  // the address that was dialled (ORIGINAL_DST)
  };
  Policy policy = Policy::kLeastRequest;
  std::uint32_t choices = 2;
  double active_request_bias = 1.0;
  std::uint64_t min_ring = 1'024;
  std::uint64_t max_ring = 1'048'576;  // Envoy allows 8 Mi entries; this is 16 MiB
  bool murmur_hash = false;            // else xxHash
  std::uint64_t maglev_table = 65'537;
  bool hash_by_hostname = false;
  double panic_threshold = 50;  // percent of healthy hosts; 0: never panics
  bool fail_in_panic = false;
  bool locality_weighted = false;
  SlowStart slow_start = {};
};

struct UpstreamTls {
  std::string sni = {};
  bool auto_sni = false;
  std::vector<std::string> alpn = {};
  // "default": our own certificate; else files are shown, or PEM. All empty: none is.
  std::string certificate = {};
  std::string certificate_file = {}, key_file = {};
  std::string certificate_pem = {}, key_pem = {};
  std::string trusted_ca_secret = {};  // "ROOTCA": those of the mesh; or
  std::string trusted_ca = {};         // PEM, or a file; "system": the system's
  bool trusted_ca_is_file = false;
  // Secrets that control sends by these names, for the fields above; to be had before this is used:
  // see fill_in().
  std::string certificate_secret = {}, roots_secret = {};
  std::vector<StringMatch> uri_names = {};  // any of; with dns_names none: any of the CA's
  std::vector<StringMatch> dns_names = {};
  bool verify_nothing = false;  // no CA at all: refuse to connect
  enum class Tls12 : std::uint8_t { kNo, kAllowed, kOnly };
  Tls12 tls12 = Tls12::kAllowed;  // TLS 1.3 otherwise, and where the server can
};

// A secret of control's: a certificate with its key, or roots (and names that go with them).
struct Secret {
  std::string name = {};
  UpstreamTls part = {};
};
using SecretPtr = std::shared_ptr<const Secret>;

struct Http {
  enum class Version : std::uint8_t { kHttp1, kHttp2, kAsDownstream };
  Version version = Version::kHttp1;
  std::optional<std::chrono::milliseconds> idle_timeout = {};  // of a connection; default 1 h
  std::chrono::milliseconds max_connection_duration{0};
  std::uint32_t max_requests_per_connection = 0;  // 0: any
  std::chrono::milliseconds max_stream_duration{0};
  std::uint32_t max_concurrent_streams = 0;  // 0: as the peer says
  std::chrono::milliseconds keepalive_interval{0};
  std::chrono::milliseconds keepalive_timeout{0};
};

struct TcpKeepalive {
  std::uint32_t probes = 0;
  std::uint32_t time_s = 0;
  std::uint32_t interval_s = 0;
};

// How endpoints are asked whether they are well; waypoint/balance/health.h says what becomes of it.
struct HealthCheck {
  using Ms = std::chrono::milliseconds;
  enum class Kind : std::uint8_t { kTcp, kHttp, kGrpc };
  Kind kind = Kind::kTcp;
  Ms timeout{0};
  Ms interval{0};
  // Of each interval and of the first check; up to.
  Ms jitter{0}, initial_jitter{0};
  std::uint32_t jitter_percent = 0;
  // Until the cluster was used; of hosts that are well: the second.
  Ms no_traffic_interval{60'000}, no_traffic_healthy_interval{60'000};
  Ms unhealthy_interval{0};                                 // after a check that failed
  Ms unhealthy_edge_interval{0}, healthy_edge_interval{0};  // while a threshold is not reached
  std::uint32_t unhealthy_threshold = 1;
  std::uint32_t healthy_threshold = 1;
  bool reuse_connection = true;
  std::string host = {};  // of HTTP and gRPC; empty: the cluster's name
  // HTTP
  bool http2 = false;
  std::string method = "GET", path = {};
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::vector<std::string> removed_headers = {};
  struct Statuses {
    int from = 0, to = 0;  // [from, to)
    friend bool operator==(const Statuses&, const Statuses&) = default;
  };
  std::vector<Statuses> expected = {};  // none: 200
  std::vector<Statuses> retriable = {};
  std::string grpc_service = {};
  // TCP: what is sent, and what must come back, in this order.
  std::string send = {};
  std::vector<std::string> receive = {};

  friend bool operator==(const HealthCheck&, const HealthCheck&) = default;
};

struct Cluster {
  enum class Discovery : std::uint8_t {
    kEds,
    kStatic,
    kStrictDns,
    kLogicalDns,
    kOriginalDst,  // a tunnel to the address that was dialled
  };
  std::string name = {};
  std::string stat_name = {};
  Discovery discovery = Discovery::kEds;
  std::string eds_name = {};           // kEds
  EndpointsPtr inline_endpoints = {};  // kStatic, kStrictDns, kLogicalDns
  std::chrono::milliseconds connect_timeout{5'000};
  LoadBalancing balancing = {};
  CircuitBreaker normal = {};
  CircuitBreaker high = {};
  std::optional<OutlierDetection> outlier = {};
  std::optional<HealthCheck> health_check = {};
  Http http = {};
  std::optional<UpstreamTls> tls = {};         // of plain endpoints; none: plaintext
  std::optional<UpstreamTls> tls_istio = {};   // of endpoints whose metadata says tlsMode istio
  std::optional<TcpKeepalive> keepalive = {};  // of plain endpoints; 0: the system's figure
  std::chrono::milliseconds dns_refresh{5'000};
  // After a failure; none: as after an answer.
  std::optional<std::chrono::milliseconds> dns_failure_refresh = {};
  bool respect_dns_ttl = false;
  // Which addresses of a name count; of kAuto and kV4Preferred the other family where it has only
  // that.
  enum class DnsFamily : std::uint8_t { kAuto, kV4Only, kV6Only, kV4Preferred, kAll };
  DnsFamily dns_family = DnsFamily::kV4Preferred;
  // From istio metadata: which service this is, for telemetry.
  std::string service_host = {};
  std::string service_name = {};
  std::string service_namespace = {};
  std::string origin = {};  // the DestinationRule
};
using ClusterPtr = std::shared_ptr<const Cluster>;

}  // namespace mesh::waypoint::config
