// Clusters field by field: health checks, versions of TLS, names, balancers.

#include <catch2/catch_test_macros.hpp>
#include <string>

#include "waypoint/config/decode.h"

namespace mesh::waypoint::config {
namespace {

using namespace std::chrono_literals;

Decoded<ClusterResource> decoded(const std::string& rest) {
  return decode_cluster_json(R"({"name":"k","type":"EDS")" + (rest.empty() ? "" : "," + rest) +
                             "}");
}
Cluster cluster(const std::string& rest) {
  const auto made = decoded(rest);
  INFO(rest << ": " << made.problem);
  REQUIRE(made.value.has_value());
  return made.value->cluster;
}
std::string problem(const std::string& rest) { return decoded(rest).problem; }

constexpr const char* kTimes =
    R"("timeout":"1s","interval":"2s","unhealthyThreshold":3,"healthyThreshold":2)";

std::string check(const std::string& rest) {
  return R"("healthChecks":[{)" + std::string(kTimes) + "," + rest + "}]";
}

TEST_CASE("health checks, every field of them") {
  const auto http = *cluster(check(R"("httpHealthCheck":{"host":"h","path":"/z","method":"HEAD",
    "codecClientType":"HTTP2","requestHeadersToAdd":[{"header":{"key":"X-A","value":"1"}}],
    "requestHeadersToRemove":["user-agent"],"expectedStatuses":[{"start":"200","end":"300"}],
    "retriableStatuses":[{"start":"503","end":"504"}]},"intervalJitter":"3s",
    "intervalJitterPercent":4,"initialJitter":"5s","noTrafficInterval":"6s",
    "noTrafficHealthyInterval":"7s","unhealthyInterval":"8s","unhealthyEdgeInterval":"9s",
    "healthyEdgeInterval":"10s","reuseConnection":false)"))
                         .health_check;
  CHECK(http.kind == HealthCheck::Kind::kHttp);
  CHECK((http.timeout == 1s && http.interval == 2s && http.jitter == 3s));
  CHECK((http.jitter_percent == 4 && http.initial_jitter == 5s));
  CHECK((http.no_traffic_interval == 6s && http.no_traffic_healthy_interval == 7s));
  CHECK((http.unhealthy_interval == 8s && http.unhealthy_edge_interval == 9s));
  CHECK(http.healthy_edge_interval == 10s);
  CHECK((http.unhealthy_threshold == 3 && http.healthy_threshold == 2));
  CHECK_FALSE(http.reuse_connection);
  CHECK((http.http2 && http.method == "HEAD" && http.host == "h" && http.path == "/z"));
  CHECK(http.headers == std::vector<std::pair<std::string, std::string>>{{"x-a", "1"}});
  CHECK(http.removed_headers == std::vector<std::string>{"user-agent"});
  CHECK(http.expected == std::vector<HealthCheck::Statuses>{{200, 300}});
  CHECK(http.retriable == std::vector<HealthCheck::Statuses>{{503, 504}});

  const auto grpc =
      *cluster(check(R"("grpcHealthCheck":{"serviceName":"s","authority":"a"})")).health_check;
  CHECK(grpc.kind == HealthCheck::Kind::kGrpc);
  CHECK((grpc.grpc_service == "s" && grpc.host == "a"));
  // What is not said is as Envoy has it.
  CHECK((grpc.no_traffic_interval == 60s && grpc.no_traffic_healthy_interval == 60s));
  CHECK((grpc.unhealthy_interval == 2s && grpc.unhealthy_edge_interval == 2s));
  CHECK((grpc.healthy_edge_interval == 2s && grpc.reuse_connection));

  const auto tcp = *cluster(check(R"("tcpHealthCheck":{"send":{"text":"50494E47"},
    "receive":[{"text":"504f4e47"},{"binary":"AAE="}]})"))
                        .health_check;
  CHECK(tcp.kind == HealthCheck::Kind::kTcp);
  CHECK(tcp.send == "PING");
  CHECK(tcp.receive == std::vector<std::string>{"PONG", std::string("\0\1", 2)});
  CHECK(cluster(check(R"("tcpHealthCheck":{})")).health_check->send.empty());
}

TEST_CASE("a health check that is none, or too much, is refused by its name") {
  const auto many = [](std::size_t count) {
    std::string list = R"({"text":"41"})";
    for (std::size_t i = 1; i < count; ++i) list += R"(,{"text":"41"})";
    return check(R"("tcpHealthCheck":{"send":{"text":"41"},"receive":[)" + list + "]}");
  };
  CHECK(problem(many(16)).empty());
  CHECK(problem(many(17)).contains("too many payloads"));
  const auto long_one = [](std::size_t bytes) {
    return check(R"("tcpHealthCheck":{"send":{"text":")" + std::string(2 * bytes, 'a') + "\"}}");
  };
  CHECK(problem(long_one(4096)).empty());
  CHECK_FALSE(problem(long_one(4097)).empty());
  const std::pair<std::string, const char*> rows[] = {
      {check(R"("httpHealthCheck":{"path":"z"})"), "does not begin with /"},
      {check(R"("httpHealthCheck":{"path":"/","expectedStatuses":[{"start":"300","end":"200"}]})"),
       "no range"},
      {check(R"("httpHealthCheck":{"path":"/","method":"CONNECT"})"), "method"},
      {check(R"("httpHealthCheck":{"path":"/","codecClientType":"HTTP3"})"), "codecClientType"},
      {check(R"("httpHealthCheck":{"path":"/","requestHeadersToAdd":[{"header":{"key":"a",)"
             R"("value":"%START_TIME%"}}]})"),
       "a format"},
      {check(R"("tcpHealthCheck":{"send":{"text":"4"}})"), "not hexadecimal"},
      {check(R"("tcpHealthCheck":{"send":{"text":"zz"}})"), "not hexadecimal"},
      {check(R"("tcpHealthCheck":{"receive":[{"text":"41"}]})"), "without anything to send"},
      {R"("healthChecks":[{)" + std::string(kTimes) + "}]", "no kind"},
      {R"("healthChecks":[{"interval":"2s","unhealthyThreshold":3,"healthyThreshold":2,)"
       R"("tcpHealthCheck":{}}])",
       "without a timeout"},
      {R"("healthChecks":[{"timeout":"1s","unhealthyThreshold":3,"healthyThreshold":2,)"
       R"("tcpHealthCheck":{}}])",
       "below 10 ms"},
      {R"("healthChecks":[{"timeout":"1s","interval":"2s","healthyThreshold":2,)"
       R"("tcpHealthCheck":{}}])",
       "unhealthyThreshold"},
      {R"("healthChecks":[{)" + std::string(kTimes) + R"(,"tcpHealthCheck":{}},{)" + kTimes +
           R"(,"tcpHealthCheck":{}}])",
       "a second health check"},
  };
  for (const auto& [of, named] : rows) {
    INFO(of);
    CHECK(problem(of).contains(named));
  }
}

TEST_CASE("versions of TLS: what is allowed, and nothing below 1.2") {
  const auto tls = [](const std::string& params) {
    return R"("transportSocket":{"typedConfig":{"@type":)"
           R"("x/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",)"
           R"("commonTlsContext":{"tlsParams":{)" +
           params + "}}}}";
  };
  using Tls12 = UpstreamTls::Tls12;
  const std::pair<const char*, Tls12> rows[] = {
      {"", Tls12::kAllowed},
      {R"("tlsMinimumProtocolVersion":"TLSv1_2")", Tls12::kAllowed},
      {R"("tlsMinimumProtocolVersion":"TLSv1_0")", Tls12::kAllowed},
      {R"("tlsMinimumProtocolVersion":"TLSv1_3")", Tls12::kNo},
      {R"("tlsMaximumProtocolVersion":"TLSv1_2")", Tls12::kOnly},
      {R"("tlsMaximumProtocolVersion":"TLSv1_3")", Tls12::kAllowed},
  };
  for (const auto& [params, wanted] : rows) {
    INFO(params);
    CHECK(cluster(tls(params)).tls->tls12 == wanted);
  }
  CHECK(problem(tls(R"("tlsMaximumProtocolVersion":"TLSv1_1")")).contains("TLS 1.1"));
  CHECK(problem(tls(R"("tlsMinimumProtocolVersion":"TLSv1_3",)"
                    R"("tlsMaximumProtocolVersion":"TLSv1_2")"))
            .contains("a minimum above"));
}

TEST_CASE("certificates and roots: by the names of secrets, of files, or inline") {
  const auto tls = [](const std::string& common) {
    return R"("transportSocket":{"typedConfig":{"@type":)"
           R"("x/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",)"
           R"("commonTlsContext":{)" +
           common + "}}}";
  };
  const UpstreamTls named =
      *cluster(tls(R"("tlsCertificateSdsSecretConfigs":[{"name":"kubernetes://x"}],)"
                   R"("validationContextSdsSecretConfig":{"name":"kubernetes://x-cacert"})"))
           .tls;
  CHECK(named.certificate_secret == "kubernetes://x");
  CHECK(named.roots_secret == "kubernetes://x-cacert");
  CHECK((named.certificate + named.trusted_ca_secret).empty());
  CHECK_FALSE(named.verify_nothing);
  const auto pair = [](const std::string& chain, const std::string& key) {
    return R"("tlsCertificates":[{"certificateChain":{)" + chain + R"(},"privateKey":{)" + key +
           "}}]";
  };
  const std::string in_line = R"("inlineString":"k")";
  CHECK(cluster(tls(pair(R"("inlineBytes":"Yw==")", in_line))).tls->certificate_pem == "c");
  CHECK(problem(tls(pair(R"("inlineBytes":"?")", in_line))).contains("no base64"));
  CHECK(problem(tls(pair(R"("filename":"/c")", in_line))).contains("one of them in a file"));
  CHECK(problem(tls(pair("", in_line))).contains("neither in a file nor inline"));
  CHECK(problem(tls(pair(R"("inlineString":"")", in_line))).contains("without its key"));
  CHECK(problem(tls(R"("tlsCertificates":[{}])")).contains("without its key"));
}

TEST_CASE("secrets are a certificate with its key, or roots, and nothing else") {
  const auto roots =
      decode_secret_json(R"({"name":"r","validationContext":{"trustedCa":{"inlineString":"ca"}}})");
  REQUIRE(roots.value.has_value());
  CHECK(roots.value->part.trusted_ca == "ca");
  const auto problem_of = [](const std::string& of) {
    return decode_secret_json(R"({"name":"s")" + of + "}").problem;
  };
  CHECK(problem_of("").contains("neither a certificate nor roots"));
  CHECK(problem_of(R"(,"validationContext":{})").contains("roots without any"));
  CHECK(problem_of(R"(,"tlsCertificate":{})").contains("without its key"));
  CHECK(problem_of(R"(,"validationContext":{"trustedCa":{"inlineString":"ca"},)"
                   R"("allowExpiredCertificate":true})") != "");
}

TEST_CASE("names: whose family counts") {
  using Family = Cluster::DnsFamily;
  CHECK(cluster("").dns_family == Family::kAuto);
  CHECK(cluster(R"("dnsLookupFamily":"V6_ONLY")").dns_family == Family::kV6Only);
  CHECK(cluster(R"("dnsLookupFamily":"V4_PREFERRED")").dns_family == Family::kV4Preferred);
  CHECK(cluster(R"("dnsLookupFamily":"ALL")").dns_family == Family::kAll);
}

TEST_CASE("names: how long they are good, and what counts after a failure") {
  const Cluster plain = cluster("");
  CHECK((plain.dns_refresh == 5s && !plain.respect_dns_ttl && !plain.dns_failure_refresh));
  const Cluster told =
      cluster(R"("dnsRefreshRate":"7s","respectDnsTtl":true,)"
              R"("dnsFailureRefreshRate":{"baseInterval":"3s","maxInterval":"9s"})");
  CHECK((told.dns_refresh == 7s && told.respect_dns_ttl && told.dns_failure_refresh == 3s));
}

TEST_CASE("peak EWMA is asked for by metadata, beside what Envoy shall do") {
  using Policy = LoadBalancing::Policy;
  const auto with = [](const char* weft) {
    return std::string(R"("lbPolicy":"LEAST_REQUEST","metadata":{"filterMetadata":{"weft":)") +
           weft + "}}";
  };
  CHECK(cluster(with(R"({"loadBalancer":"PEAK_EWMA"})")).balancing.policy == Policy::kPeakEwma);
  CHECK(cluster(with("{}")).balancing.policy == Policy::kLeastRequest);
  CHECK(problem(with(R"({"loadBalancer":"FASTEST"})")).contains("loadBalancer"));
}

}  // namespace
}  // namespace mesh::waypoint::config
