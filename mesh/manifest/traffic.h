#pragma once
// Istio's DestinationRule and VirtualService as values: the fields that Weft reads.
//
// Both are read strictly: an unknown field is an error, for a match that lost a condition sends
// traffic where nobody wanted it, and a TLS setting that was dropped trusts whom nobody trusts.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mesh/manifest/gateway_api.h"
#include "mesh/manifest/metadata.h"
#include "mesh/net/address.h"

namespace mesh::manifest {

// ---- DestinationRule ----------------------------------------------------------------------------

struct ConsistentHash {
  std::string header;
  std::string cookie;
  std::string cookie_path;
  std::optional<Milliseconds> cookie_ttl;
  bool source_ip = false;
  std::string query;
  bool maglev = false;
  std::uint64_t table_size = 0;  // the ring's minimum, or Maglev's table; 0: the default
};

struct LocalityDistribute {
  std::string from;
  std::map<std::string, std::uint32_t> to;  // locality -> percent
};

struct LocalityFailover {
  std::string from;
  std::string to;
};

struct LocalityBalancing {
  bool enabled = true;
  std::vector<LocalityDistribute> distribute;
  std::vector<LocalityFailover> failover;
  std::vector<std::string> priority;  // failoverPriority
};

// Endpoints that are new get their share little by little.
struct Warmup {
  Milliseconds duration{0};
  double minimum_percent = 10;
  double aggression = 1;
};

struct LoadBalancer {
  std::string simple;  // "", ROUND_ROBIN, LEAST_REQUEST, LEAST_CONN, RANDOM, PASSTHROUGH
  std::optional<ConsistentHash> hash;
  std::optional<LocalityBalancing> locality;
  std::optional<Warmup> warmup;
};

struct TcpKeepalive {  // 0: the system's figure
  std::uint32_t probes = 0;
  Milliseconds time{0};
  Milliseconds interval{0};
};

struct Http2Keepalive {
  Milliseconds interval{0};
  Milliseconds timeout{0};
};

struct RetryBudget {
  double percent = 20;
  std::uint32_t min_concurrency = 3;
};

struct ConnectionPool {
  std::optional<std::uint32_t> max_connections;
  std::optional<Milliseconds> connect_timeout;
  std::optional<Milliseconds> max_duration;
  std::optional<Milliseconds> tcp_idle_timeout;
  std::optional<std::uint32_t> max_pending;
  std::optional<std::uint32_t> max_requests;
  std::optional<std::uint32_t> max_requests_per_connection;
  std::optional<std::uint32_t> max_retries;
  std::optional<std::uint32_t> max_streams;
  std::optional<Milliseconds> http_idle_timeout;
  std::string h2_upgrade;
  bool use_client_protocol = false;
  std::optional<TcpKeepalive> keepalive;
  std::optional<Http2Keepalive> http2_keepalive;
};

struct OutlierDetection {
  std::optional<std::uint32_t> consecutive_5xx;
  std::optional<std::uint32_t> consecutive_gateway;
  std::optional<std::uint32_t> consecutive_local;
  bool split_local = false;
  std::optional<Milliseconds> interval;
  std::optional<Milliseconds> base_ejection;
  std::optional<std::uint32_t> max_ejection_percent;
  std::optional<std::uint32_t> min_health_percent;
};

struct ClientTls {
  std::string mode = "SIMPLE";  // DISABLE, SIMPLE, MUTUAL, ISTIO_MUTUAL
  std::string client_certificate, private_key, ca_certificates, ca_crl;  // files
  std::string credential_name;
  std::vector<std::string> subject_alt_names;
  std::string sni;
  bool insecure_skip_verify = false;
};

struct TrafficPolicy {
  std::optional<LoadBalancer> load_balancer;
  std::optional<ConnectionPool> pool;
  std::optional<OutlierDetection> outlier;
  std::optional<ClientTls> tls;
  std::optional<RetryBudget> retry_budget;
  std::map<std::uint16_t, TrafficPolicy> ports;  // each replaces the whole policy for its port
};

struct Subset {
  std::string name;
  Labels labels;
  TrafficPolicy policy;
};

struct DestinationRule {
  Metadata metadata;
  std::vector<std::string> unhonoured = {};  // "FIELD: why"; all else of it is in force
  std::string host;
  TrafficPolicy policy;
  std::vector<Subset> subsets;
  std::vector<std::string> export_to;
  std::optional<Labels> workload_selector;
  // Stands for one that asks for TLS and cannot be read: the host is not called.
  bool closed = false;
};

// ---- VirtualService -----------------------------------------------------------------------------

struct StringMatch {
  enum class Type { kPresent, kExact, kPrefix, kRegex };
  Type type = Type::kPresent;
  std::string value;
};

using StringMatches = std::map<std::string, StringMatch>;

struct VirtualMatch {
  std::string name;
  std::optional<StringMatch> uri, scheme, method, authority;
  StringMatches headers, without_headers, query;
  std::uint16_t port = 0;  // 0: any
  bool ignore_uri_case = false;
  Labels source_labels;
  std::string source_namespace;
  std::vector<std::string> gateways;
};

struct VirtualDestination {
  std::string host;
  std::string subset;
  std::uint16_t port = 0;
  std::uint32_t weight = 0;
  HeaderChange request_headers, response_headers;
};

struct VirtualRedirect {
  std::string uri, prefix, authority, scheme;  // uri: the whole path; prefix: what was matched
  std::uint16_t port = 0;
  std::uint16_t status = 301;
};

struct VirtualFault {
  double delay_percent = 0;
  Milliseconds delay{0};
  double abort_percent = 0;
  std::uint16_t abort_status = 0;
  std::string abort_grpc;
};

struct VirtualRetry {
  std::uint32_t attempts = 0;
  std::optional<Milliseconds> per_try;
  std::optional<Milliseconds> backoff;  // the least wait between two tries
  std::vector<std::string> on;          // conditions and status codes
  bool avoid_previous_hosts = true;
};

struct VirtualMirror {
  VirtualDestination destination;
  double percent = 100;
};

struct VirtualHttp {
  std::string name;
  std::vector<VirtualMatch> matches;  // empty: everything
  std::vector<VirtualDestination> destinations;
  std::optional<VirtualRedirect> redirect;
  std::uint16_t direct_status = 0;  // 0: no direct response
  std::string direct_body;
  std::string rewrite_uri, rewrite_authority;
  std::string rewrite_pattern, rewrite_substitution;  // of the path; no pattern: as it is
  std::optional<Milliseconds> timeout;
  std::optional<VirtualRetry> retries;
  std::optional<VirtualFault> fault;
  std::vector<VirtualMirror> mirrors;
  std::optional<Cors> cors;
  HeaderChange request_headers, response_headers;
};

struct VirtualL4Match {
  std::vector<std::string> sni_hosts;  // of a tls route
  std::vector<net::Cidr> destinations;
  std::uint16_t port = 0;
  Labels source_labels;
  std::string source_namespace;
  std::vector<std::string> gateways;
};

struct VirtualL4 {
  std::vector<VirtualL4Match> matches;
  std::vector<VirtualDestination> destinations;
};

struct VirtualService {
  Metadata metadata;
  std::vector<std::string> unhonoured = {};  // "FIELD: why"; all else of it is in force
  std::vector<std::string> hosts;
  std::vector<std::string> gateways;  // empty: the mesh
  std::vector<VirtualHttp> http;
  std::vector<VirtualL4> tls;
  std::vector<VirtualL4> tcp;
  std::vector<std::string> export_to;
};

}  // namespace mesh::manifest
