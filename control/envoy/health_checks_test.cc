#include "control/envoy/health_checks.h"

#include <catch2/catch_test_macros.hpp>

#include "control/envoy/translate_for_tests.h"
#include "control/folder.h"
#include "mesh/xds/envoy_schema.h"

namespace mesh::control {
namespace {

using namespace std::chrono_literals;

// A service with a pod in the mesh and one that is not, an h2c port, and hosts outside.
constexpr const char* kWorld = R"(
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: shop}
spec: {gatewayClassName: weft-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: shop
  labels: {istio.io/use-waypoint: waypoint}
  annotations: {OF_SERVICE}
spec:
  clusterIP: 10.96.0.1
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: http2, port: 81, targetPort: 8081}]
---
apiVersion: v1
kind: Pod
metadata:
  {name: inside, namespace: shop, labels: {app: web},
   annotations: {ambient.istio.io/redirection: enabled}}
spec: {nodeName: n, containers: [{name: main, image: a}]}
status: {phase: Running, podIP: 10.244.0.1, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: beside, namespace: shop, labels: {app: web}}
spec: {nodeName: n, containers: [{name: main, image: a}]}
status: {phase: Running, podIP: 10.244.0.2, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: named
  namespace: shop
  labels: {istio.io/use-waypoint: waypoint}
  annotations: {weft.dev/health-check: tcp port 9}
spec:
  hosts: [named.example]
  addresses: [240.0.0.2]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: DNS
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: dialled
  namespace: shop
  labels: {istio.io/use-waypoint: waypoint}
  annotations: {weft.dev/health-check: http /}
spec:
  hosts: [dialled.example]
  addresses: [192.0.2.9]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: NONE
---
apiVersion: v1
kind: Service
metadata:
  name: away
  namespace: far
  labels: {istio.io/use-waypoint: other}
  annotations: {weft.dev/health-check: http /}
spec: {clusterIP: 10.96.0.3, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec:
  hosts: [web]
  http: [{route: [{destination: {host: web}}], mirror: {host: away.far.svc.cluster.local}}]
)";

struct Told {
  std::map<std::string, std::string> clusters = {}, endpoints = {};  // as JSON
  std::string notes = {};
};

Told translate(const std::string& of_service, const std::string& of_rule = "", bool ours = true) {
  std::string text = kWorld;
  const std::string annotation = std::string(kHealthAnnotation) + ": '";
  const std::string own = of_service.empty() ? "" : annotation + of_service + "'";
  text.replace(text.find("OF_SERVICE"), 10, own);
  if (!of_rule.empty()) {
    text +=
        "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\n"
        "metadata: {name: web, namespace: shop, annotations: {" +
        annotation + of_rule + "'}}\nspec: {host: web}\n";
  }
  Folder folder;
  const manifest::Parsed written = manifest::parse("m.yaml", text);
  for (const manifest::Problem& problem : written.problems) FAIL_CHECK(problem.to_string());
  folder.put("m.yaml", written);
  const WaypointConfig config =
      translate_for_tests(World(folder.settle()), Settings{}, "shop", "waypoint", ours);
  Told told;
  const auto show = [&](EnvoyType type, std::map<std::string, std::string>& into) {
    const std::string message(xds::message_of(type_url(type)));
    for (const auto& [name, bytes] : config.of(type)) into[name] = xds::to_json(message, bytes);
  };
  show(EnvoyType::kCluster, told.clusters);
  show(EnvoyType::kEndpoint, told.endpoints);
  for (const PolicyNote& note : config.notes) {
    told.notes += note.object.to_string() + ": " + note.text + "\n";
  }
  return told;
}

constexpr const char* kHttp = "inbound-vip|80|http|web.shop.svc.cluster.local";
constexpr const char* kHttp2 = "inbound-vip|81|http|web.shop.svc.cluster.local";

TEST_CASE("weft.dev/health-check: what is read") {
  const auto http = parse_health_check("http /a?b=c");
  REQUIRE(http);
  CHECK((http->kind == HealthAsk::Kind::kHttp && http->path == "/a?b=c"));
  CHECK((http->every == 10s && http->timeout == 1s && http->port == 0 && http->host.empty()));
  CHECK((http->healthy == 1 && http->unhealthy == 3));
  const auto all = parse_health_check(
      " http\t/z  unhealthy 5 every 500ms\ntimeout 2s port 8081 healthy 2 host a.b ");
  REQUIRE(all);
  CHECK((all->every == 500ms && all->timeout == 2s && all->port == 8081 && all->host == "a.b"));
  CHECK((all->healthy == 2 && all->unhealthy == 5));
  CHECK(parse_health_check("http /z every 60m timeout 1m")->every == 1h);
  const auto grpc = parse_health_check("grpc shop.Cart every 2m");
  REQUIRE(grpc);
  CHECK((grpc->kind == HealthAsk::Kind::kGrpc && grpc->service == "shop.Cart"));
  CHECK(parse_health_check("grpc")->service.empty());
  CHECK(parse_health_check("grpc every 5s")->service.empty());
  CHECK(parse_health_check("tcp")->kind == HealthAsk::Kind::kTcp);
  CHECK(parse_health_check("none")->kind == HealthAsk::Kind::kNone);
}

TEST_CASE("weft.dev/health-check: what is not read, and why") {
  const struct {
    std::string text;
    const char* why;
  } rows[] = {
      {"", "begins with"},
      {"  ", "begins with"},
      {"HTTP /a", "begins with"},
      {"https /a", "begins with"},
      {"none every 1s", "nothing comes after none"},
      {"http", "needs a path"},
      {"http healthz", "needs a path"},
      {"http every 1s", "needs a path"},
      {"http /\x01", "needs a path"},
      {"http /\xc3\xa4", "needs a path"},
      {"http /a /b", "\"/b\" means nothing"},
      {"grpc a b", "\"b\" means nothing"},
      {"grpc a,b", "no name"},
      {"tcp 80", "\"80\" means nothing"},
      {"tcp host a", "for http and grpc"},
      {"tcp every", "`every`"},
      {"tcp every 1", "`every`"},
      {"tcp every 1h", "`every`"},
      {"tcp every s", "`every`"},
      {"tcp every -1s", "`every`"},
      {"tcp every 1.5s", "`every`"},
      {"tcp every 99ms", "`every`"},
      {"tcp every 61m", "`every`"},
      {"tcp every 99999999999999999999s", "`every`"},
      {"tcp every 3600000m", "`every`"},
      {"tcp timeout 9ms", "`timeout`"},
      {"tcp timeout 61s", "`timeout`"},
      {"tcp healthy 0", "`healthy`"},
      {"tcp unhealthy 101", "`healthy`"},
      {"tcp healthy 1 healthy 1", "twice"},
      {"tcp port 0", "`port`"},
      {"tcp port 65536", "`port`"},
      {"http /a host", "`host`"},
      {"http /a host a/b", "`host`"},
      {"http /a host a,b", "`host`"},
      {"http /" + std::string(2048, 'a'), "2 KiB"},
  };
  for (const auto& row : rows) {
    INFO(row.text);
    const auto read = parse_health_check(row.text);
    REQUIRE_FALSE(read);
    CHECK(read.error().contains(row.why));
  }
}

TEST_CASE("a rule or its service asks for checks, of every port that is called") {
  const Told none = translate("");
  CHECK_FALSE(none.clusters.at(kHttp).contains("healthChecks"));
  CHECK_FALSE(none.endpoints.at(kHttp).contains("healthCheckConfig"));
  const Told told = translate("http /well every 2s timeout 500ms healthy 2 unhealthy 4");
  const std::string& http = told.clusters.at(kHttp);
  for (const char* part :
       {R"("timeout":"0.500s")", R"("interval":"2s")", R"("noTrafficInterval":"2s")",
        R"("unhealthyThreshold":4)", R"("healthyThreshold":2)", R"("path":"/well")",
        R"("host":"web.shop.svc.cluster.local")",
        R"("expectedStatuses":[{"start":"200","end":"400"}])",
        R"("retriableStatuses":[{"start":"400","end":"600"}])"}) {
    INFO(part << " in " << http);
    CHECK(http.contains(part));
  }
  CHECK_FALSE(http.contains("HTTP2"));
  CHECK(told.clusters.at(kHttp2).contains(R"("codecClientType":"HTTP2")"));
  CHECK_FALSE(told.endpoints.at(kHttp).contains("healthCheckConfig"));
  CHECK_FALSE(told.notes.contains("Service shop/web"));

  const Told both = translate("tcp", "grpc a.B host h port 99");
  CHECK(both.clusters.at(kHttp).contains(
      R"("grpcHealthCheck":{"serviceName":"a.B","authority":"h"})"));
  CHECK_FALSE(both.clusters.at(kHttp).contains("tcpHealthCheck"));
  CHECK(both.endpoints.at(kHttp).contains(R"("healthCheckConfig":{"portValue":99})"));
  CHECK_FALSE(translate("http / port 99").clusters.at(kHttp2).contains("HTTP2\""));
  CHECK_FALSE(translate("tcp", "none").clusters.at(kHttp).contains("healthChecks"));
}

TEST_CASE("what is no check is noted by its object, and nobody is checked") {
  const Told told = translate("tcp", "http healthz");
  CHECK_FALSE(told.clusters.at(kHttp).contains("healthChecks"));
  CHECK(told.endpoints.at(kHttp).contains("10.244.0.1"));
  CHECK(
      told.notes.contains("DestinationRule shop/web: weft.dev/health-check: `http` needs a path"));
  CHECK(told.notes.contains("nobody is checked"));
}

TEST_CASE("who is checked by name, as dialled, and by another waypoint") {
  const Told told = translate("");
  const std::string& named = told.clusters.at("inbound-vip|80|http|named.example");
  CHECK(named.contains("tcpHealthCheck"));
  CHECK(named.contains(R"("healthCheckConfig":{"portValue":9})"));
  CHECK_FALSE(told.clusters.at("inbound-vip|80|http|dialled.example").contains("healthChecks"));
  CHECK(told.notes.contains("ServiceEntry shop/dialled: weft.dev/health-check is not honoured"));
  const std::string& away = told.clusters.at("outbound|80||away.far.svc.cluster.local");
  CHECK_FALSE(away.contains("healthChecks"));
  CHECK_FALSE(told.notes.contains("far/away"));
}

TEST_CASE("Envoy is told to check nobody behind a tunnel, and it is said") {
  const Told ours = translate("tcp port 99");
  const Told stock = translate("tcp port 99", "", false);
  const auto count = [](const std::string& text, std::string_view what) {
    std::size_t found = 0;
    for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
    return found;
  };
  CHECK(count(ours.endpoints.at(kHttp), "\"portValue\":99") == 2);
  CHECK(count(stock.endpoints.at(kHttp), "\"portValue\":99") == 1);
  CHECK(count(stock.endpoints.at(kHttp), "\"disableActiveHealthCheck\":true") == 1);
  CHECK(count(ours.endpoints.at(kHttp), "disableActiveHealthCheck") == 0);
  CHECK(stock.clusters.at(kHttp).contains("tcpHealthCheck"));
  CHECK_FALSE(ours.notes.contains("Service shop/web"));
  CHECK(stock.notes.contains("Service shop/web: weft.dev/health-check: this Envoy checks nobody"));
  CHECK_FALSE(stock.notes.contains("shop/named"));
}

}  // namespace
}  // namespace mesh::control
