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
