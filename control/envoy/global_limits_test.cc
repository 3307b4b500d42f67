// weft.dev/rate-limit: which requests a service is asked about, by what, and what is refused
// instead of let through.

#include "control/envoy/global_limits.h"

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "control/envoy/translate_for_tests.h"

namespace mesh::control {
namespace {

using nlohmann::json;

constexpr const char* kWorld = R"(
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient, istio.io/use-waypoint: waypoint}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: shop}
spec: {gatewayClassName: weft-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.1.10, selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: limits, namespace: infra}
spec:
  clusterIP: 10.96.1.12
  selector: {app: limits}
  ports: [{name: grpc, port: 8081}, {name: http, port: 8080}]
)";
constexpr const char* kMesh = R"(
extensionProviders:
- name: limits
  weftRateLimitGrpc: {service: limits.infra.svc.cluster.local, port: 8081, domain: shop}
- name: others
  weftRateLimitGrpc:
    service: infra/limits.infra.svc.cluster.local
    port: 8081
    domain: others
    timeout: 1500ms
    failOpen: true
- {name: gone, weftRateLimitGrpc: {service: no.such, port: 8081, domain: a}}
- {name: wrong, weftRateLimitGrpc: {service: limits.infra.svc.cluster.local, port: 9, domain: a}}
- {name: plain, weftRateLimitGrpc: {service: limits.infra.svc.cluster.local, port: 8080, domain: a}}
- {name: span, opentelemetry: {service: limits.infra.svc.cluster.local, port: 8081}}
)";

// A route of two rules, "search" and another, with annotations: "KEY: text", JSON's.
std::string route(const std::string& annotations) {
  return std::string(kWorld) + R"(
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: r
  namespace: shop
  annotations: {)" +
         annotations + R"(}
spec:
  parentRefs: [{group: "", kind: Service, name: web}]
  rules:
  - name: search
    matches: [{path: {type: PathPrefix, value: /search}}]
    backendRefs: [{name: web, port: 80}]
  - backendRefs: [{name: web, port: 80}]
)";
}

std::string counted(const std::string& lines) {
  return route("weft.dev/rate-limit: " + json(lines).dump());
}

// The chain of Service web.
json chain_of(const ToldWaypoint& told) {
  const json main = json::parse(told.main);
  for (const json& chain : main["filterChains"]) {
    if (chain["name"] == "inbound-vip|80|http|web.shop.svc.cluster.local") {
      return chain["filters"].back()["typedConfig"];
    }
  }
  FAIL("no chain");
  return {};
}

const json& route_at(const json& chain, std::size_t at) {
  return chain["routeConfig"]["virtualHosts"][0]["routes"][at];
}

std::vector<std::string> names_of(const json& chain) {
  std::vector<std::string> names;
  for (const json& filter : chain["httpFilters"]) {
    names.push_back(filter["name"].get<std::string>().substr(sizeof("envoy.filters.http.") - 1));
  }
  return names;
}

json filter_of(const json& chain, std::uint32_t stage) {
  for (const json& filter : chain["httpFilters"]) {
    if (filter["name"] == kGlobalLimitFilter && filter["typedConfig"]["stage"] == stage) {
      return filter["typedConfig"];
    }
  }
  return {};
}

TEST_CASE("a global limit is a rule, a provider and what tells requests apart") {
  const auto limits = parse_global_limits(
      "limits path\n a b:\tlimits  remote-address method host ; others header(X-User) "
      "header(x-tier)=free a/b=c:d=e");
  REQUIRE(limits);
  REQUIRE(limits->size() == 3);
  using Kind = LimitEntry::Kind;
  const GlobalLimit& first = (*limits)[0];
  CHECK((first.rule.empty() && first.provider == "limits"));
  REQUIRE(first.entries.size() == 1);
  CHECK(first.entries[0].header == ":path");
  const GlobalLimit& second = (*limits)[1];
  CHECK((second.rule == "a b" && second.provider == "limits"));
  REQUIRE(second.entries.size() == 3);
  CHECK(second.entries[0].kind == Kind::kRemoteAddress);
  CHECK((second.entries[1].key == "method" && second.entries[1].header == ":method"));
  CHECK((second.entries[2].key == "host" && second.entries[2].header == ":authority"));
  const GlobalLimit& third = (*limits)[2];
  CHECK((third.rule.empty() && third.provider == "others"));
  REQUIRE(third.entries.size() == 3);
  CHECK((third.entries[0].kind == Kind::kHeader && third.entries[0].key == "x-user"));
  CHECK((third.entries[1].kind == Kind::kHeaderValue && third.entries[1].value == "free"));
  CHECK((third.entries[2].kind == Kind::kText && third.entries[2].key == "a/b"));
  CHECK(third.entries[2].value == "c:d=e");
}

TEST_CASE("what is no global limit is refused, whole") {
  for (const char* bad : {"",
                          " \n;",
                          "limits",
                          "search: limits",
                          "search:",
                          ": limits path",
                          "limits paths",
                          "limits header()",
                          "limits header(x",
                          "limits header(x y)",
                          "limits header(:path)",
                          "limits header(x)=",
                          "limits header(x)free",
                          "limits =v",
                          "limits k=",
                          "limits k=a%b",
                          "limits k=caf\xc3\xa9",
                          "limits k\xc3\xa9=v",
                          "limits path; limits nonsense",
                          "limits Path"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_global_limits(bad));
  }
  std::string lines, entries = "limits";
  for (int i = 0; i < 33; ++i) lines += "limits path;";
  CHECK_FALSE(parse_global_limits(lines));
  for (int i = 0; i < 16; ++i) entries += " path";
  CHECK(parse_global_limits(entries));
  CHECK_FALSE(parse_global_limits(entries + " path"));
  CHECK_FALSE(parse_global_limits("limits k=" + std::string(257, 'a')));
}

TEST_CASE("a route's requests are counted by the provider that its annotation names") {
  const ToldWaypoint told = tell_for_tests(
      counted("search: limits method header(x-tier)=free; limits remote-address a=b"), kMesh);
  CHECK(told.notes.empty());
  CHECK(told.clusters.contains("outbound|8081||limits.infra.svc.cluster.local"));
  const json chain = chain_of(told);
  CHECK(names_of(chain) ==
        std::vector<std::string>{"ratelimit", "grpc_stats", "fault", "cors", "router"});
  const json filter = filter_of(chain, 1);
  CHECK(filter["domain"] == "shop");
  CHECK(filter["timeout"] == "0.020s");
  CHECK(filter["failureModeDeny"] == true);
  const json& service = filter["rateLimitService"];
  CHECK(service["transportApiVersion"] == "V3");
  CHECK(service["grpcService"]["envoyGrpc"]["clusterName"] ==
        "outbound|8081||limits.infra.svc.cluster.local");
  const json all = json::parse(R"({"stage": 1, "actions": [{"remoteAddress": {}},
      {"genericKey": {"descriptorKey": "a", "descriptorValue": "b"}}]})");
  const json of_search = json::parse(R"({"stage": 1, "actions": [
      {"requestHeaders": {"headerName": ":method", "descriptorKey": "method"}},
      {"headerValueMatch": {"descriptorKey": "x-tier", "descriptorValue": "free",
       "headers": [{"name": "x-tier", "stringMatch": {"exact": "free"}}]}}]})");
  CHECK(route_at(chain, 0)["route"]["rateLimits"] == json({of_search, all}));
  CHECK(route_at(chain, 1)["route"]["rateLimits"] == json::array({all}));
}

TEST_CASE("two providers, and local limits, do not see each other's descriptors") {
  const ToldWaypoint told =
      tell_for_tests(route(R"(weft.dev/rate-limit: "limits path; others path; limits host",
              weft.dev/local-rate-limit: 5/s)"),
                     kMesh);
  CHECK(told.notes.empty());
  const json chain = chain_of(told);
  CHECK(names_of(chain) == std::vector<std::string>{"local_ratelimit", "ratelimit", "ratelimit",
                                                    "grpc_stats", "fault", "cors", "router"});
  CHECK(filter_of(chain, 1)["domain"] == "shop");
  const json others = filter_of(chain, 2);
  CHECK(others["domain"] == "others");
  CHECK(others["timeout"] == "1.500s");
  CHECK_FALSE(others.contains("failureModeDeny"));
  std::vector<int> stages;
  for (const json& one : route_at(chain, 0)["route"]["rateLimits"]) {
    stages.push_back(one.value("stage", 0));
  }
  CHECK(stages == std::vector<int>{0, 1, 2, 1});
}

TEST_CASE("limits come after policy") {
  const ToldWaypoint told = tell_for_tests(counted("limits path") + R"(
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p, namespace: shop}
spec:
  targetRefs: [{group: "", kind: Service, name: web}]
  action: DENY
  rules: [{to: [{operation: {methods: [DELETE]}}]}]
)",
                                           kMesh);
  CHECK(names_of(chain_of(told)) ==
        std::vector<std::string>{"rbac", "ratelimit", "grpc_stats", "fault", "cors", "router"});
}

TEST_CASE("what cannot be counted is answered 500, and it is said why") {
  const std::pair<const char*, const char*> kCases[] = {
      {"search: limits", "a provider and what"},
      {"search: limits path; nonsense", "a provider and what"},
      {"search: nobody path", "provider nobody is not known"},
      {"search: span path", "provider span: not one of weftRateLimitGrpc"},
      {"search: gone path", "there is no service no.such"},
      {"search: wrong path", "has no port 9"},
      {"search: plain path", "is not declared as gRPC"},
      {"search: limits path; search: gone path", "there is no service no.such"}};
  for (const auto& [lines, why] : kCases) {
    INFO(lines);
    const ToldWaypoint told = tell_for_tests(counted(lines), kMesh);
    INFO(told.notes);
    CHECK(told.notes.contains("HTTPRoute shop/r: weft.dev/rate-limit: "));
    CHECK(told.notes.contains(why));
    CHECK(told.notes.contains("its requests are answered 500"));
    const json chain = chain_of(told);
    CHECK(route_at(chain, 0)["directResponse"]["status"] == 500);
    CHECK_FALSE(route_at(chain, 0).contains("route"));
    // A line that nobody can read is for all rules; one that can be read, for its own.
    const bool unreadable = std::string_view(why).starts_with("a provider");
    CHECK(route_at(chain, 1).contains("directResponse") == unreadable);
    CHECK(filter_of(chain, 1).is_null());
  }
}

TEST_CASE("local limits that cannot be read are answered 500, too") {
  const ToldWaypoint told =
      tell_for_tests(route("weft.dev/local-rate-limit: \"search: 5/s; many\""), kMesh);
  CHECK(told.notes.contains("weft.dev/local-rate-limit: \"many\": no COUNT/INTERVAL"));
  for (const std::size_t at : {0u, 1u}) {
    CHECK(route_at(chain_of(told), at)["directResponse"]["status"] == 500);
  }
}

TEST_CASE("a line for a rule that is not there limits nothing, and it is said") {
  const ToldWaypoint told = tell_for_tests(route(R"(weft.dev/rate-limit: "serach: limits path",
                                           weft.dev/local-rate-limit: "search: 5/s; find: 1/s")"),
                                           kMesh);
  CHECK(told.notes.contains("weft.dev/rate-limit: there is no rule \"serach\""));
  CHECK(told.notes.contains("weft.dev/local-rate-limit: there is no rule \"find\""));
  CHECK_FALSE(told.notes.contains("\"search\""));
  CHECK(filter_of(chain_of(told), 1).is_null());
  const ToldWaypoint virtual_service = tell_for_tests(std::string(kWorld) + R"(
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop, annotations: {weft.dev/rate-limit: "all: limits path"}}
spec: {hosts: [web], http: [{name: al, route: [{destination: {host: web}}]}]}
)",
                                                      kMesh);
  CHECK(
      virtual_service.notes.contains("VirtualService shop/v: weft.dev/rate-limit: there is no "
                                     "rule \"all\""));
}

TEST_CASE("an eleventh provider is refused by its routes alone") {
  std::string mesh = "extensionProviders:\n", lines;
  for (int i = 0; i < 11; ++i) {
    const std::string name = "p" + std::to_string(i);
    mesh += "- {name: " + name +
            ", weftRateLimitGrpc: {service: limits.infra.svc.cluster.local, port: 8081, domain: " +
            name + "}}\n";
    lines += (i < 10 ? "" : "search: ") + name + " path;";
  }
  const ToldWaypoint told = tell_for_tests(counted(lines), mesh);
  CHECK(told.notes.contains("more than 10 providers"));
  const json chain = chain_of(told);
  CHECK(route_at(chain, 0)["directResponse"]["status"] == 500);
  CHECK(route_at(chain, 1)["route"]["rateLimits"].size() == 10);
  CHECK(filter_of(chain, 10)["domain"] == "p9");
}

TEST_CASE("a VirtualService and a GRPCRoute have the same; what leads nowhere is not counted") {
  const ToldWaypoint virtual_service = tell_for_tests(std::string(kWorld) + R"(
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop, annotations: {weft.dev/rate-limit: "limits path"}}
spec:
  hosts: [web]
  http:
  - {match: [{uri: {prefix: /tea}}], directResponse: {status: 418}}
  - {route: [{destination: {host: web}}]}
)",
                                                      kMesh);
  const json chain = chain_of(virtual_service);
  CHECK(virtual_service.notes.contains("what is redirected or answered here is not limited"));
  CHECK(route_at(chain, 0)["directResponse"]["status"] == 418);
  CHECK(route_at(chain, 1)["route"]["rateLimits"].size() == 1);
  const ToldWaypoint grpc = tell_for_tests(std::string(kWorld) + R"(
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: g, namespace: shop, annotations: {weft.dev/rate-limit: "limits path"}}
spec:
  parentRefs: [{group: "", kind: Service, name: web}]
  rules: [{backendRefs: [{name: web, port: 80}]}]
)",
                                           kMesh);
  CHECK(grpc.notes.empty());
  CHECK(route_at(chain_of(grpc), 0)["route"]["rateLimits"].size() == 1);
}

}  // namespace
}  // namespace mesh::control
