// weft.dev/external-processor: whom requests and responses are shown to, and what is denied when
// nobody can be.

#include "control/envoy/processors.h"

#include <map>

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "control/envoy/translate_for_tests.h"

namespace mesh::control {
namespace {

using nlohmann::json;

constexpr const char* kMesh = R"(
extensionProviders:
- name: edit
  weftExtProcGrpc:
    service: edit.infra.svc.cluster.local
    port: 9000
    messageTimeout: 1s
    processingMode: {requestBodyMode: BUFFERED, responseHeaderMode: SKIP, responseTrailerMode: SEND}
- name: see
  weftExtProcGrpc:
    service: infra/edit.infra.svc.cluster.local
    port: 9000
    failOpen: true
    allowModeOverride: true
    processingMode: {requestBodyMode: BUFFERED_PARTIAL, responseBodyMode: STREAMED}
- {name: gone, weftExtProcGrpc: {service: no.such, port: 9000}}
- {name: wrong, weftExtProcGrpc: {service: edit.infra.svc.cluster.local, port: 9}}
- {name: plain, weftExtProcGrpc: {service: edit.infra.svc.cluster.local, port: 80}}
- {name: span, opentelemetry: {service: edit.infra.svc.cluster.local, port: 9000}}
)";

std::string annotated(const char* provider) {
  return provider == nullptr ? "{}"
                             : std::string("{weft.dev/external-processor: \"") + provider + "\"}";
}

// Services web (HTTP, TCP, and a port that does not say) and api, a pod behind the waypoint too;
// `of_web`, `of_gateway`: their annotations.
std::string world(const char* of_web, const char* of_gateway = nullptr) {
  return R"(
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient, istio.io/use-waypoint: waypoint}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata:
  name: waypoint
  namespace: shop
  labels: {istio.io/waypoint-for: all}
  annotations: )" +
         annotated(of_gateway) + R"(
spec: {gatewayClassName: weft-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: v1
kind: Service
metadata: {name: waypoint, namespace: shop, labels: {istio.io/use-waypoint: none}}
spec: {clusterIP: 10.96.1.14, selector: {gateway: waypoint}, ports: [{name: mesh, port: 15008}]}
---
apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: shop
  annotations: )" +
         annotated(of_web) + R"(
spec:
  clusterIP: 10.96.1.10
  selector: {app: web}
  ports: [{name: http, port: 80}, {name: tcp, port: 90}, {name: any, port: 100}]
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec: {clusterIP: 10.96.1.11, selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: edit, namespace: infra}
spec:
  clusterIP: 10.96.1.12
  selector: {app: edit}
  ports: [{name: grpc, port: 9000}, {name: http, port: 80}]
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: shop, labels: {app: web}}
spec: {nodeName: n, containers: [{name: main, image: a}]}
status: {phase: Running, podIP: 10.244.0.8, conditions: [{type: Ready, status: "True"}]}
)";
}

// What the HTTP chains do with a request before limits and routes, and what TCP chains do: filters
// by their short names; with policies "processor" and "denied" where they are of the annotation.
std::string shown(const ToldWaypoint& told) {
  const auto short_name = [](const json& filter) {
    const std::string name = filter["name"];
    const json& config = filter["typedConfig"];
    if (name.ends_with("ext_proc")) return std::string("processor");
    if (!name.ends_with("rbac")) return std::string();
    return std::string(config["rules"]["policies"].contains("external-processor") ? "denied"
                                                                                  : "policy");
  };
  std::map<std::string, std::string> chains;
  const json main = json::parse(told.main);
  for (const json& chain : main["filterChains"]) {
    std::string words;
    for (const json& filter : chain["filters"]) {
      std::string word = short_name(filter);
      if (!word.empty()) words += " " + word;
      for (const json& inner : filter["typedConfig"].value("httpFilters", json::array())) {
        word = short_name(inner);
        if (!word.empty()) words += " " + word;
      }
    }
    if (!words.empty()) chains[chain["name"]] = words;
  }
  std::string all;
  for (const auto& [name, words] : chains)
    all += name.substr(0, name.find('.')) + ":" + words + "\n";
  return all;
}

json filter_of(const ToldWaypoint& told, std::string_view service) {
  const json main = json::parse(told.main);
  for (const json& chain : main["filterChains"]) {
    if (!chain["name"].get<std::string>().contains(service)) continue;
    for (const json& filter : chain["filters"].back()["typedConfig"]["httpFilters"]) {
      if (filter["name"] == "envoy.filters.http.ext_proc") return filter["typedConfig"];
    }
  }
  return {};
}

TEST_CASE("without the annotation nobody is shown anything") {
  const ToldWaypoint told = tell_for_tests(world(nullptr), kMesh);
  CHECK(told.notes.empty());
  CHECK(shown(told).empty());
}

TEST_CASE("a service's requests are shown to the provider of its annotation, as that says") {
  const ToldWaypoint told = tell_for_tests(world("edit"), kMesh);
  CHECK(told.notes.empty());
  CHECK(told.clusters.contains("outbound|9000||edit.infra.svc.cluster.local"));
  // What does not say what it is must be HTTP; what says that it is not, passes.
  CHECK(shown(told) ==
        "inbound-vip|100|http|web: processor\ninbound-vip|100|tcp|web: denied\n"
        "inbound-vip|80|http|web: processor\n");
  const json filter = filter_of(told, "|80|http|web");
  CHECK(filter["grpcService"]["envoyGrpc"]["clusterName"] ==
        "outbound|9000||edit.infra.svc.cluster.local");
  CHECK(filter["messageTimeout"] == "1s");
  CHECK_FALSE(filter.contains("failureModeAllow"));
  CHECK_FALSE(filter.contains("allowModeOverride"));
  CHECK(filter["processingMode"] ==
        json::parse(R"({"requestHeaderMode": "SEND", "requestBodyMode": "BUFFERED",
            "requestTrailerMode": "SKIP", "responseHeaderMode": "SKIP",
            "responseTrailerMode": "SEND"})"));
}

TEST_CASE("a Gateway's annotation is for all behind its waypoint; a service's own counts") {
  const ToldWaypoint told = tell_for_tests(world("edit", "see"), kMesh);
  CHECK(told.notes.empty());
  CHECK(shown(told) ==
        "direct-http: processor\ndirect-tcp: denied\n"
        "inbound-vip|100|http|web: processor\ninbound-vip|100|tcp|web: denied\n"
        "inbound-vip|80|http|api: processor\ninbound-vip|80|http|web: processor\n");
  CHECK(filter_of(told, "|80|http|web")["messageTimeout"] == "1s");
  const json filter = filter_of(told, "|80|http|api");
  CHECK(filter["messageTimeout"] == "0.200s");
  CHECK(filter["failureModeAllow"] == true);
  CHECK(filter["allowModeOverride"] == true);
  CHECK(filter["processingMode"]["requestBodyMode"] == "BUFFERED_PARTIAL");
  CHECK(filter["processingMode"]["responseBodyMode"] == "STREAMED");
}

TEST_CASE("it is asked after policy and before limits") {
  const ToldWaypoint told = tell_for_tests(world("edit") + R"(
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p, namespace: shop}
spec:
  targetRefs: [{group: "", kind: Service, name: web}]
  action: DENY
  rules: [{to: [{operation: {methods: [DELETE]}}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: shop, annotations: {weft.dev/local-rate-limit: 5/s}}
spec:
  parentRefs: [{group: "", kind: Service, name: web, port: 80}]
  rules: [{backendRefs: [{name: web, port: 80}]}]
)",
                                           kMesh);
  CHECK(shown(told).contains("inbound-vip|80|http|web: policy processor\n"));
  const json main = json::parse(told.main);
  for (const json& chain : main["filterChains"]) {
    if (!chain["name"].get<std::string>().starts_with("inbound-vip|80|http|web")) continue;
    std::vector<std::string> names;
    for (const json& filter : chain["filters"].back()["typedConfig"]["httpFilters"]) {
      names.push_back(filter["name"].get<std::string>().substr(sizeof("envoy.filters.http.") - 1));
    }
    CHECK(names == std::vector<std::string>{"rbac", "ext_proc", "local_ratelimit", "grpc_stats",
                                            "fault", "cors", "router"});
    return;
  }
  FAIL("no chain");
}

TEST_CASE("what cannot be shown is denied, and it is said why") {
  const std::pair<const char*, const char*> kCases[] = {
      {"", "provider  is not known"},
      {"nobody", "provider nobody is not known"},
      {"span", "provider span: not one of weftExtProcGrpc"},
      {"gone", "there is no service no.such"},
      {"wrong", "has no port 9"},
      {"plain", "is not declared as gRPC"}};
  for (const auto& [provider, why] : kCases) {
    INFO(provider);
    const ToldWaypoint own = tell_for_tests(world(provider, "edit"), kMesh);
    INFO(own.notes);
    CHECK(own.notes.contains("Service shop/web: weft.dev/external-processor: "));
    CHECK(own.notes.contains(why));
    CHECK(own.notes.contains("what it would be shown is denied"));
    CHECK(shown(own).contains("inbound-vip|80|http|web: denied\n"));
    CHECK(shown(own).contains("inbound-vip|100|http|web: denied\n"));
    CHECK(shown(own).contains("inbound-vip|80|http|api: processor\n"));
    const ToldWaypoint all = tell_for_tests(world(nullptr, provider), kMesh);
    CHECK(all.notes.contains("Gateway shop/waypoint: weft.dev/external-processor: "));
    CHECK(shown(all).contains("direct-http: denied\n"));
    CHECK(shown(all).contains("inbound-vip|80|http|api: denied\n"));
    CHECK_FALSE(shown(all).contains("processor"));
  }
}

}  // namespace
}  // namespace mesh::control
