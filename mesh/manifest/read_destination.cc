// DestinationRule.

#include <charconv>
#include <utility>

#include "mesh/manifest/read.h"

namespace mesh::manifest {
namespace {

constexpr std::size_t kMaxSubsets = 128;
constexpr std::size_t kMaxPorts = 128;
constexpr std::uint32_t kAnyNumber = 0x7fffffff;

ConsistentHash read_hash(Fields fields) {
  ConsistentHash hash;
  hash.header = fields.text("httpHeaderName");
  hash.source_ip = fields.flag("useSourceIp", false);
  hash.query = fields.text("httpQueryParameterName");
  Fields cookie = fields.map("httpCookie");
  hash.cookie = cookie.text("name");
  hash.cookie_path = cookie.text("path");
  hash.cookie_ttl = cookie.duration("ttl");
  cookie.unhonoured("attributes", "is not honoured: the cookie has its name, path and ttl");
  cookie.finish();
  const int keys = int{!hash.header.empty()} + int{hash.source_ip} + int{!hash.query.empty()} +
                   int{!hash.cookie.empty()};
  if (keys != 1) fields.error("httpHeaderName", "needs exactly one thing to hash by");
  hash.table_size = fields.number("minimumRingSize", 8u << 20);
  Fields ring = fields.map("ringHash");
  if (ring.value() != nullptr) hash.table_size = ring.number("minimumRingSize", 8u << 20);
  ring.finish();
  hash.maglev = fields.present("maglev");
  Fields maglev = fields.map("maglev");
  if (maglev.value() != nullptr) hash.table_size = maglev.number("tableSize", 5'000'011);
  maglev.finish();
  fields.finish();
  return hash;
}

LocalityBalancing read_locality(Fields fields) {
  LocalityBalancing locality;
  locality.enabled = fields.flag("enabled", true);
  for (Fields& item : fields.maps("distribute", 64)) {
    LocalityDistribute distribute{.from = item.required_text("from"), .to = {}};
    Fields to = item.map("to");
    std::uint32_t total = 0;
    if (to.value() != nullptr) {
      for (const std::string& key : to.value()->keys) {
        total += distribute.to[key] = to.number(key, 100);
      }
    }
    if (total != 100) item.error("to", "must come to 100");
    item.finish();
    locality.distribute.push_back(std::move(distribute));
  }
  for (Fields& item : fields.maps("failover", 64)) {
    locality.failover.push_back(
        {.from = item.required_text("from"), .to = item.required_text("to")});
    item.finish();
  }
  locality.priority = fields.texts("failoverPriority");
  fields.finish();
  return locality;
}

double read_factor(Fields& fields, std::string_view key, double least, double most) {
  const Value* value = fields.take(key);
  double number = least;
  if (value == nullptr) return 0;
  const char* end = value->text.data() + value->text.size();
  const auto [stop, error] = std::from_chars(value->text.data(), end, number);
  const bool fits = value->type == Value::Type::kScalar && error == std::errc() && stop == end &&
                    number >= least && number <= most;
  if (!fits) fields.error(key, "is not a number that is possible here");
  return number;
}

Warmup read_warmup(Fields fields) {
  Warmup warmup;
  warmup.duration = fields.duration("duration").value_or(Milliseconds(0));
  if (warmup.duration < Milliseconds(1)) fields.error("duration", "is required, and above 0");
  warmup.minimum_percent = fields.percent("minimumPercent", warmup.minimum_percent);
  if (fields.present("aggression")) warmup.aggression = read_factor(fields, "aggression", 1, 100);
  fields.finish();
  return warmup;
}

LoadBalancer read_balancer(Fields fields) {
  LoadBalancer balancer;
  balancer.simple = fields.choice("simple", {"UNSPECIFIED", "LEAST_CONN", "LEAST_REQUEST", "RANDOM",
                                             "PASSTHROUGH", "ROUND_ROBIN"});
  if (fields.present("consistentHash")) balancer.hash = read_hash(fields.map("consistentHash"));
  if (fields.present("localityLbSetting")) {
    balancer.locality = read_locality(fields.map("localityLbSetting"));
  }
  fields.ignore("consistentHash");
  fields.ignore("localityLbSetting");
  if (const auto older = fields.duration("warmupDurationSecs")) {
    balancer.warmup = Warmup{.duration = *older};
  }
  if (fields.present("warmup")) balancer.warmup = read_warmup(fields.map("warmup"));
  fields.ignore("warmup");
  if (balancer.hash || balancer.simple == "RANDOM") {
    for (const char* key : {"warmup", "warmupDurationSecs"}) {
      fields.unhonoured(key, "is not honoured: only ROUND_ROBIN and LEAST_REQUEST warm up");
    }
  }
  if (balancer.simple == "PASSTHROUGH") {
    fields.unhonoured("simple", "PASSTHROUGH is not honoured: a waypoint balances");
  }
  fields.finish();
  return balancer;
}

// "30s"; Envoy's figures are whole seconds.
Milliseconds whole_seconds(Fields& fields, std::string_view key) {
  constexpr Milliseconds kMost{32'767'000};
  const auto time = fields.duration(key);
  if (time && (time->count() % 1000 != 0 || time->count() <= 0 || *time > kMost)) {
    fields.error(key, "must be whole seconds, at most 32767s");
  }
  return time.value_or(Milliseconds(0));
}

TcpKeepalive read_keepalive(Fields fields) {
  TcpKeepalive keepalive;
  keepalive.probes = fields.optional_number("probes", 127).value_or(0);
  keepalive.time = whole_seconds(fields, "time");
  keepalive.interval = whole_seconds(fields, "interval");
  fields.finish();
  return keepalive;
}

Http2Keepalive read_http2_keepalive(Fields fields) {
  Http2Keepalive keepalive;
  for (const auto& [key, to] :
       {std::pair("interval", &keepalive.interval), std::pair("timeout", &keepalive.timeout)}) {
    *to = fields.duration(key).value_or(Milliseconds(0));
    if (*to < Milliseconds(1) || *to > Milliseconds(86'400'000)) {
      fields.error(key, "must be from 1ms to 24h");
    }
  }
  fields.finish();
  return keepalive;
}

RetryBudget read_budget(Fields fields) {
  RetryBudget budget;
  budget.percent = fields.percent("percent", budget.percent);
  budget.min_concurrency =
      fields.optional_number("minRetryConcurrency", kAnyNumber).value_or(budget.min_concurrency);
  fields.finish();
  return budget;
}

ConnectionPool read_pool(Fields fields) {
  ConnectionPool pool;
  Fields tcp = fields.map("tcp");
  pool.max_connections = tcp.optional_number("maxConnections", kAnyNumber);
  pool.connect_timeout = tcp.duration("connectTimeout");
  pool.max_duration = tcp.duration("maxConnectionDuration");
  pool.tcp_idle_timeout = tcp.duration("idleTimeout");
  if (tcp.present("tcpKeepalive")) pool.keepalive = read_keepalive(tcp.map("tcpKeepalive"));
  tcp.ignore("tcpKeepalive");
  tcp.finish();
  Fields http = fields.map("http");
  pool.max_pending = http.optional_number("http1MaxPendingRequests", kAnyNumber);
  pool.max_requests = http.optional_number("http2MaxRequests", kAnyNumber);
  pool.max_requests_per_connection = http.optional_number("maxRequestsPerConnection", kAnyNumber);
  pool.max_retries = http.optional_number("maxRetries", kAnyNumber);
  pool.max_streams = http.optional_number("maxConcurrentStreams", kAnyNumber);
  pool.http_idle_timeout = http.duration("idleTimeout");
  pool.h2_upgrade = http.choice("h2UpgradePolicy", {"DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"});
  pool.use_client_protocol = http.flag("useClientProtocol", false);
  if (http.present("http2KeepAlive")) {
    pool.http2_keepalive = read_http2_keepalive(http.map("http2KeepAlive"));
  }
  http.ignore("http2KeepAlive");
  http.finish();
  fields.finish();
  return pool;
}

OutlierDetection read_outlier(Fields fields) {
  OutlierDetection outlier;
  outlier.consecutive_5xx = fields.optional_number("consecutive5xxErrors", kAnyNumber);
  outlier.consecutive_gateway = fields.optional_number("consecutiveGatewayErrors", kAnyNumber);
  outlier.consecutive_local = fields.optional_number("consecutiveLocalOriginFailures", kAnyNumber);
  outlier.split_local = fields.flag("splitExternalLocalOriginErrors", false);
  outlier.interval = fields.duration("interval");
  outlier.base_ejection = fields.duration("baseEjectionTime");
  outlier.max_ejection_percent = fields.optional_number("maxEjectionPercent", 100);
  outlier.min_health_percent = fields.optional_number("minHealthPercent", 100);
  if (!outlier.split_local) {
    fields.unhonoured("consecutiveLocalOriginFailures",
                      "has no effect without splitExternalLocalOriginErrors");
  }
  fields.unhonoured("consecutiveErrors",
                    "is not honoured: use consecutive5xxErrors or consecutiveGatewayErrors");
  fields.unhonoured("outlierDetectionHttpErrorCodes",
                    "is not honoured: 5xx count, and nothing else");
  fields.finish();
  return outlier;
}

ClientTls read_tls(Fields fields) {
  ClientTls tls;
  tls.mode = fields.choice("mode", {"DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"}, "DISABLE");
  tls.client_certificate = fields.text("clientCertificate");
  tls.private_key = fields.text("privateKey");
  tls.ca_certificates = fields.text("caCertificates");
  tls.ca_crl = fields.text("caCrl");
  tls.credential_name = fields.text("credentialName");
  tls.subject_alt_names = fields.texts("subjectAltNames");
  tls.sni = fields.text("sni");
  tls.insecure_skip_verify = fields.flag("insecureSkipVerify", false);
  const bool has_own = !tls.client_certificate.empty() && !tls.private_key.empty();
  if (tls.mode == "MUTUAL" && tls.credential_name.empty() && !has_own) {
    fields.error("clientCertificate", "MUTUAL needs clientCertificate and privateKey");
  }
  const bool originates = tls.mode == "SIMPLE" || tls.mode == "MUTUAL";
  std::vector<std::string_view> idle;
  if (tls.mode != "MUTUAL") idle = {"clientCertificate", "privateKey"};
  if (!originates) {
    idle.insert(idle.end(), {"caCertificates", "caCrl", "credentialName", "subjectAltNames", "sni",
                             "insecureSkipVerify"});
  }
  for (const std::string_view key : idle) {
    fields.unhonoured(key, "has no effect in mode " + tls.mode);
  }
  if (originates) {
    fields.unhonoured("credentialName",
                      "control never sends private keys: nobody is reached until files of the "
                      "waypoint are named instead");
  }
  fields.finish();
  return tls;
}

TrafficPolicy read_policy(Fields fields, bool for_port) {
  TrafficPolicy policy;
  if (fields.present("loadBalancer")) {
    policy.load_balancer = read_balancer(fields.map("loadBalancer"));
  }
  if (fields.present("connectionPool")) policy.pool = read_pool(fields.map("connectionPool"));
  if (fields.present("outlierDetection")) {
    policy.outlier = read_outlier(fields.map("outlierDetection"));
  }
  if (fields.present("tls")) policy.tls = read_tls(fields.map("tls"));
  if (fields.present("retryBudget")) policy.retry_budget = read_budget(fields.map("retryBudget"));
  for (const char* read :
       {"loadBalancer", "connectionPool", "outlierDetection", "tls", "retryBudget"}) {
    fields.ignore(read);
  }
  for (const char* unsupported : {"tunnel", "proxyProtocol"}) {
    if (fields.present(unsupported)) fields.error(unsupported, "is not supported");
    fields.ignore(unsupported);
  }
  if (for_port) {
    fields.ignore("port");
    fields.finish();
    return policy;
  }
  for (Fields& item : fields.maps("portLevelSettings", kMaxPorts)) {
    const std::uint16_t port = item.map("port").port("number");
    if (port == 0) item.error("port", "needs a number");
    policy.ports[port] = read_policy(item, true);
  }
  fields.finish();
  return policy;
}

}  // namespace

DestinationRule read_destination_rule(Fields& document, Metadata metadata) {
  DestinationRule rule;
  rule.metadata = std::move(metadata);
  Fields spec = document.map("spec");
  rule.host = spec.required_text("host");
  rule.policy = read_policy(spec.map("trafficPolicy"), false);
  for (Fields& fields : spec.maps("subsets", kMaxSubsets)) {
    Subset subset;
    subset.name = fields.required_text("name");
    subset.labels = fields.labels("labels");
    subset.policy = read_policy(fields.map("trafficPolicy"), false);
    fields.finish();
    rule.subsets.push_back(std::move(subset));
  }
  rule.export_to = spec.texts("exportTo");
  if (spec.present("workloadSelector")) {
    Fields selector = spec.map("workloadSelector");
    rule.workload_selector = selector.labels("matchLabels");
    selector.finish();
  }
  spec.ignore("workloadSelector");
  spec.finish();
  rule.unhonoured = spec.report().unhonoured;
  return rule;
}

}  // namespace mesh::manifest
