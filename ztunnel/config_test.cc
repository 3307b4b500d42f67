#include "ztunnel/config.h"

#include <map>

#include <catch2/catch_test_macros.hpp>

namespace mesh::ztunnel {
namespace {

ParsedConfig parse(std::vector<std::string> arguments,
                   const std::map<std::string, std::string>& environment = {}, unsigned cpus = 8) {
  return parse_config(
      std::move(arguments),
      [&](const char* name) -> const char* {
        const auto found = environment.find(name);
        return found == environment.end() ? nullptr : found->second.c_str();
      },
      cpus);
}

TEST_CASE("defaults are Istio's") {
  const ParsedConfig parsed = parse({});
  REQUIRE(parsed.config.has_value());
  CHECK(parsed.config->admin.to_string() == "127.0.0.1:15000");
  CHECK(parsed.config->metrics.to_string() == "[::]:15020");
  CHECK(parsed.config->workers == 2);
  CHECK(parsed.config->ca_address == "https://localhost:15012");
  CHECK(parsed.config->termination_deadline == std::chrono::seconds(5));
  CHECK(parsed.config->unknown_destinations == UnknownDestinations::kPassthrough);
  CHECK(parsed.config->tunnel_congestion_control == "auto");
  const ParsedConfig in_cluster = parse({}, {{"KUBERNETES_SERVICE_HOST", "10.96.0.1"}});
  REQUIRE(in_cluster.config.has_value());
  CHECK(in_cluster.config->xds_address == "https://istiod.istio-system.svc:15012");
}

TEST_CASE("flags win over the environment") {
  const std::map<std::string, std::string> environment = {
      {"NODE_NAME", "from-env"},
      {"XDS_ADDRESS", "https://istiod:15012"},
      {"CLUSTER_ID", "c1"},
      {"WEFT_AGENT_SOCKET", "/run/a.sock"},
      {"ZTUNNEL_WORKER_THREADS", "50%"},
      {"CONNECTION_TERMINATION_DEADLINE", "1m30s"},
      {"WEFT_TUNNEL_CONGESTION_CONTROL", "system"},
      {"LOG_FORMAT", "json"}};
  const ParsedConfig parsed =
      parse({"--node", "from-flag", "--unknown-destinations", "refuse"}, environment);
  REQUIRE(parsed.config.has_value());
  CHECK(parsed.config->node_name == "from-flag");
  CHECK(parsed.config->cluster_id == "c1");
  CHECK(parsed.config->agent_socket == "/run/a.sock");
  CHECK(parsed.config->workers == 4);
  CHECK(parsed.config->ca_address == "https://istiod:15012");
  CHECK(parsed.config->termination_deadline == std::chrono::seconds(90));
  CHECK(parsed.config->unknown_destinations == UnknownDestinations::kRefuse);
  CHECK(parsed.config->tunnel_congestion_control == "system");
  CHECK(parsed.config->log_json);
}

ParsedConfig parse_variables(const std::vector<const char*>& some) {
  std::vector<const char*> variables = some;
  variables.push_back(nullptr);
  return parse_config({}, [](const char*) -> const char* { return nullptr; }, 1, variables.data());
}

TEST_CASE("headers and metadata by variables of any name") {
  const ParsedConfig parsed =
      parse_variables({"XDS_HEADER_x-mesh=one=1", "XDS_HEADER_TENANT_ID=a b",
                       "CA_HEADER_x-ca=", "CA_HEADERS=no", "ISTIO_META_NETWORK=east",
                       "ISTIO_META_DNS_CAPTURE=true", "ISTIO_METAJSON_X={}", "PATH=/bin"});
  REQUIRE(parsed.config.has_value());
  using Map = std::map<std::string, std::string>;
  CHECK(parsed.config->xds_headers == Map{{"x-mesh", "one=1"}, {"tenant_id", "a b"}});
  CHECK(parsed.config->ca_headers == Map{{"x-ca", ""}});
  CHECK(parsed.config->node_metadata == Map{{"NETWORK", "east"}, {"DNS_CAPTURE", "true"}});
  for (const char* bad : {"XDS_HEADER_=x", "XDS_HEADER_authorization=Bearer x", "CA_HEADER_:path=/",
                          "CA_HEADER_clusterid=other", "CA_HEADER_x=a\r\nb: c", "XDS_HEADER_a b=c",
                          "XDS_HEADER_grpc-timeout=1S", "XDS_HEADER_Content-Type=text"}) {
    const ParsedConfig refused = parse_variables({bad});
    INFO(bad);
    CHECK(!refused.config);
    CHECK(refused.status == 1);
    CHECK(refused.text.contains("HEADER_"));
  }
  CHECK(!parse_variables({"XDS_HEADER_a=1", "XDS_HEADER_A=2"}).config);
}

TEST_CASE("the authority's roots are discovery's unless they are given") {
  CHECK(parse({}, {{"XDS_ROOT_CA", "SYSTEM"}}).config->ca_root_cert == "SYSTEM");
  const auto both = parse({}, {{"XDS_ROOT_CA", "/a"}, {"CA_ROOT_CA", "/b"}}).config;
  CHECK(both->root_cert == "/a");
  CHECK(both->ca_root_cert == "/b");
  CHECK(parse({}, {{"CA_ROOT_CA", "/b"}}).config->root_cert == "/b");
}

TEST_CASE("what cannot be read is one line and status 1") {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"--admin", "0.0.0.0:15000"},
        {"--workers", "many"},
        {"--termination-deadline", "5"},
        {"--unknown-destinations", "maybe"},
        {"--log-format", "xml"},
        {"--nope"}}) {
    const ParsedConfig parsed = parse(arguments);
    INFO(arguments[0]);
    CHECK(!parsed.config.has_value());
    CHECK(parsed.status == 1);
    CHECK(!parsed.text.empty());
  }
  CHECK(parse({"--version"}).text == "weft-ztunnel " WEFT_VERSION "\n");
  CHECK(parse({"--version"}).status == 0);
}

TEST_CASE("workers: a number, a share, or all; never none") {
  CHECK(parse_workers("3", 8) == 3);
  CHECK(parse_workers("25%", 8) == 2);
  CHECK(parse_workers("1%", 8) == 1);
  CHECK(parse_workers("0", 8) == 8);
  CHECK(parse_workers("-1", 8) == std::nullopt);
  CHECK(parse({}, {}, 1).config->workers == 1);
}

TEST_CASE("durations have a unit") {
  CHECK(parse_duration("250ms") == std::chrono::milliseconds(250));
  CHECK(parse_duration("1h2m3s") == std::chrono::seconds(3723));
  for (const char* bad : {"", "5", "s", "-1s", "5 s", "99999999999s", "0s"}) {
    CHECK(parse_duration(bad) == std::nullopt);
  }
}

}  // namespace
}  // namespace mesh::ztunnel
