// The admin pages, in Envoy's shapes.

#include "waypoint/pages.h"

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "envoy/cluster.pb.h"
#include "envoy/route.pb.h"
#include "waypoint/clusters_page.h"
#include "waypoint/config_dump.h"

namespace mesh::waypoint {
namespace {

using nlohmann::json;

TEST_CASE("canonical JSON is printed as Envoy prints it, and keeps what is not ours to rename") {
  const struct {
    const char* canonical;
    const char* printed;
  } rows[] = {
      {R"({"connectTimeout":"5s","typedConfig":{"@type":"a.B"}})",
       R"({"connect_timeout":"5s","typed_config":{"@type":"a.B"}})"},
      {R"({"filterMetadata":{"istio":{"tlsMode":"istio"}}})",
       R"({"filter_metadata":{"istio":{"tlsMode":"istio"}}})"},
      {R"({"policies":{"ns[aB]-policy[cD]":{"andIds":{}}}})",
       R"({"policies":{"ns[aB]-policy[cD]":{"and_ids":{}}}})"},
      {R"([{"maxRequests":1}])", R"([{"max_requests":1}])"},
      {R"({"tlsCertificates":[{"privateKey":{"inlineString":"secret"}}]})",
       R"({"tls_certificates":[{"private_key":"[redacted]"}]})"},
      {"not json", ""},
  };
  for (const auto& row : rows) {
    INFO(row.canonical);
    CHECK(as_envoy_prints(row.canonical) == row.printed);
  }
}

KeptResources kept() {
  envoy::config::cluster::v3::Cluster cluster;
  cluster.set_name("inbound-vip|80|http|web.shop");
  cluster.mutable_connect_timeout()->set_seconds(5);
  envoy::config::route::v3::RouteConfiguration routes;
  routes.set_name("r");
  KeptResources kept;
  kept[EnvoyType::kCluster]["inbound-vip|80|http|web.shop"] = {cluster.SerializeAsString(), "7"};
  kept[EnvoyType::kRoutes]["r"] = {routes.SerializeAsString(), "8"};
  kept[EnvoyType::kEndpoints]["e"] = {"", "9"};
  return kept;
}

std::vector<std::string> kinds(const json& dump) {
  std::vector<std::string> found;
  for (const json& one : dump["configs"]) {
    const std::string type = one["@type"];
    found.push_back(type.substr(type.rfind('.') + 1));
  }
  return found;
}

TEST_CASE("/config_dump holds what came, with its version; endpoints where asked for") {
  config::Snapshot snapshot;
  snapshot.version = "42";
  snapshot.not_honoured = {{.resource = "main_internal", .path = "x.y"}};
  Settings settings;
  settings.pod_name = "waypoint-0";
  settings.pod_namespace = "shop";
  settings.service_account = "waypoint";
  const KeptResources resources = kept();
  const DumpSources sources{.snapshot = snapshot,
                            .settings = settings,
                            .kept = resources,
                            .waiting_for = "",
                            .certificates = {}};
  const json dump = json::parse(dump_config(sources, false));
  CHECK(kinds(dump) == std::vector<std::string>{"BootstrapConfigDump", "ClustersConfigDump",
                                                "ListenersConfigDump", "RoutesConfigDump",
                                                "EcdsConfigDump", "SecretsConfigDump"});
  const json& one = dump["configs"][1]["dynamic_active_clusters"][0];
  CHECK(one["version_info"] == "7");
  CHECK(one["cluster"]["name"] == "inbound-vip|80|http|web.shop");
  CHECK(one["cluster"]["connect_timeout"] == "5s");
  CHECK(one["cluster"]["@type"] == "type.googleapis.com/envoy.config.cluster.v3.Cluster");
  CHECK(dump["configs"][3]["dynamic_route_configs"][0]["route_config"]["name"] == "r");
  CHECK(dump["configs"][0]["bootstrap"]["node"]["id"] ==
        "waypoint~127.0.0.1~waypoint-0.shop~shop.svc.cluster.local");
  CHECK(dump["weft"]["not_honoured"][0]["path"] == "x.y");
  CHECK(kinds(json::parse(dump_config(sources, true))).size() == 7);
  const json info = json::parse(dump_server_info(settings, "LIVE", std::chrono::seconds(5)));
  CHECK(info["state"] == "LIVE");
  CHECK(info["uptime_current_epoch"] == "5s");
}

std::vector<ClusterRow> clusters() {
  ClusterRow row{.name = "web", .normal = {}, .high = {}, .hosts = {}};
  row.normal.limit[0] = row.high.limit[0] = 10;
  row.normal.now[0] = 10;
  row.normal.overflows[0] = 3;
  row.hosts = {{.key = "10.0.0.1:80", .hbone = true, .active = 2, .healthy = true},
               {.key = "[fd00::1]:80", .active = 1, .ejected = true, .healthy = false}};
  return {row};
}

TEST_CASE("/clusters of all lanes is one, in Envoy's two shapes") {
  const std::vector<std::vector<ClusterRow>> lanes = {clusters(), clusters()};
  const std::vector<ClusterRow> all = merge(lanes);
  REQUIRE(all.size() == 1);
  const std::string text = clusters_text(all);
  for (const char* line :
       {"web::default_priority::max_connections::10\n", "web::10.0.0.1:80::rq_active::4\n",
        "web::10.0.0.1:80::health_flags::healthy\n",
        "web::[fd00::1]:80::health_flags::/failed_outlier_check\n"}) {
    INFO(line);
    CHECK(text.contains(line));
  }
  const json page = json::parse(clusters_json(all));
  const json& hosts = page["cluster_statuses"][0]["host_statuses"];
  CHECK(hosts[0]["address"]["envoy_internal_address"]["endpoint_id"] == "10.0.0.1:80");
  CHECK(hosts[1]["address"]["socket_address"]["address"] == "fd00::1");
  CHECK(hosts[1]["address"]["socket_address"]["port_value"] == 80);
  CHECK(hosts[1]["health_status"]["failed_outlier_check"] == true);
  const std::string stats = clusters_stats(all);
  CHECK(stats.contains("cluster.web.circuit_breakers.default.cx_open: 1\n"));
  CHECK(stats.contains("cluster.web.circuit_breakers.high.cx_open: 0\n"));
  CHECK(stats.contains("cluster.web.upstream_cx_overflow: 3\n"));
  CHECK(stats.contains("cluster.web.membership_healthy: 1\n"));
}

TEST_CASE("/stats is filtered by name, and may be JSON") {
  const std::string lines = "a.one: 1\nb.two: 2\n";
  const struct {
    const char* query;
    int status;
    const char* body;
  } rows[] = {
      {"", 200, "a.one: 1\nb.two: 2\n"},
      {"filter=two", 200, "b.two: 2\n"},
      {"filter=%5Ea&format=json", 200, "{\"stats\":[{\"name\":\"a.one\",\"value\":1}]}\n"},
      {"filter=nothing", 200, ""},
      {"filter=(", 400, "this filter is no regular expression\n"},
  };
  for (const auto& row : rows) {
    INFO(row.query);
    const admin::Request request{
        .method = "GET", .path = "/stats", .query = row.query, .headers = {}};
    const admin::Response response = stats_page(lines, request);
    CHECK(response.status == row.status);
    CHECK(response.body == row.body);
  }
}

TEST_CASE("pages answer what they are asked") {
  telemetry::LogFilter filter;
  PageSources sources;
  sources.config_dump = [](bool endpoints) { return endpoints ? "with" : "without"; };
  sources.listeners = [](bool json) { return json ? "{}" : "main"; };
  sources.pending = [] { return std::vector<std::string>{"certificate"}; };
  const admin::Routes routes = admin_pages(sources, filter, telemetry::Level::kInfo);
  const struct {
    const char* method;
    const char* path;
    const char* query;
    int status;
    const char* body;
  } rows[] = {
      {"GET", "/config_dump", "", 200, "without"},
      {"GET", "/config_dump", "include_eds", 200, "with"},
      {"GET", "/config_dump", "a=b&include_eds=true", 200, "with"},
      {"GET", "/listeners", "", 200, "main"},
      {"GET", "/listeners", "format=json", 200, "{}"},
      {"GET", "/ready", "", 503, "waiting for: certificate\n"},
      {"POST", "/logging", "level=nonsense&", 400, nullptr},
      {"POST", "/logging", "level=debug", 200, nullptr},
      {"GET", "/logging", "", 200, nullptr},
  };
  for (const auto& row : rows) {
    INFO(row.method << " " << row.path << " " << row.query);
    const admin::Response response = routes.answer({.method = row.method,
                                                    .path = row.path,
                                                    .query = row.query,
                                                    .has_query = row.query[0] != '\0',
                                                    .headers = {}});
    CHECK(response.status == row.status);
    if (row.body != nullptr) CHECK(response.body == row.body);
  }
  CHECK(filter.text().contains("debug"));
}

}  // namespace
}  // namespace mesh::waypoint
