// Who asks for the mesh's mutual TLS (tls.mode ISTIO_MUTUAL) never calls anybody in plaintext.

#include <catch2/catch_test_macros.hpp>

#include "control/envoy/translate_for_tests.h"
#include "control/folder.h"
#include "mesh/xds/envoy_schema.h"

namespace mesh::control {
namespace {

// Before a service with a pod in the mesh and two that are not, and before three hosts outside.
constexpr const char* kWorld = R"(
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: shop}
spec: {gatewayClassName: weft-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, labels: {istio.io/use-waypoint: waypoint}}
spec: {clusterIP: 10.96.0.1, selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Pod
metadata:
  {name: inside, namespace: shop, labels: {app: web, version: v1},
   annotations: {ambient.istio.io/redirection: enabled}}
spec: {nodeName: n, containers: [{name: main, image: a}]}
status: {phase: Running, podIP: 10.244.0.1, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: beside, namespace: shop, labels: {app: web, version: v2}}
spec: {nodeName: n, containers: [{name: main, image: a}]}
status: {phase: Running, podIP: 10.244.0.2, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata:
  {name: sidecar, namespace: shop,
   labels: {app: web, version: v2, security.istio.io/tlsMode: istio}}
spec: {nodeName: n, containers: [{name: main, image: a}]}
status: {phase: Running, podIP: 10.244.0.3, conditions: [{type: Ready, status: "True"}]}
)";

std::string entry(const std::string& host, const std::string& rest) {
  return "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: " + host +
         ", namespace: shop, labels: {istio.io/use-waypoint: waypoint}}\nspec: {hosts: [" + host +
         ".example], location: MESH_EXTERNAL, ports: [{number: 80, name: http, protocol: HTTP}], " +
         rest + "}\n";
}

std::string rule(const std::string& host, const std::string& rest) {
  return "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: rule-" +
         host + ", namespace: shop}\nspec: {host: " + host + ", " + rest + "}\n";
}

std::string mode(const std::string& name) { return "trafficPolicy: {tls: {mode: " + name + "}}"; }

struct Told {
  std::string clusters = {}, endpoints = {}, notes = {};
};

// Of clusters for that host only.
Told translate(const std::string& host, const std::string& rules) {
  Folder folder;
  const manifest::Parsed written = manifest::parse(
      "m.yaml", std::string(kWorld) +
                    entry("static",
                          "resolution: STATIC, addresses: [240.0.0.1], "
                          "endpoints: [{address: 192.0.2.1}]") +
                    entry("named", "resolution: DNS, addresses: [240.0.0.2]") +
                    entry("any", "resolution: NONE, addresses: [192.0.2.9]") + rules);
  for (const manifest::Problem& problem : written.problems) FAIL_CHECK(problem.to_string());
  folder.put("m.yaml", written);
  const World world(folder.settle());
  const WaypointConfig config = translate_for_tests(world, Settings{});
  Told told;
  const auto shown = [&](EnvoyType type) {
    std::string text;
    for (const auto& [name, bytes] : config.of(type)) {
      if (!name.contains(host)) continue;
      text += xds::to_json(std::string(xds::message_of(type_url(type))), bytes);
    }
    return text;
  };
  told.clusters = shown(EnvoyType::kCluster);
  told.endpoints = shown(EnvoyType::kEndpoint);
  CHECK(told.clusters.contains(host));
  for (const PolicyNote& note : config.notes) {
    told.notes += note.object.to_string() + ": " + note.text + "\n";
  }
  for (const auto& [name, note] : config.endpoint_notes) {
    told.notes += note.object.to_string() + ": " + note.text + "\n";
  }
  return told;
}

// Anything at all that is called without a tunnel.
bool is_plain(const Told& told) {
  return told.endpoints.contains("socketAddress") || told.clusters.contains("socketAddress") ||
         told.clusters.contains("ORIGINAL_DST");
}

}  // namespace

TEST_CASE("ISTIO_MUTUAL: whoever is outside the mesh is not called, and the rule is named") {
  for (const std::string host : {"static", "named", "any"}) {
    INFO(host);
    const std::string full = host + ".example";
    CHECK(is_plain(translate(full, "")));
    CHECK(is_plain(translate(full, rule(full, mode("DISABLE")))));
    const std::string port =
        "trafficPolicy: {portLevelSettings: [{port: {number: 80}, "
        "tls: {mode: ISTIO_MUTUAL}}]}";
    for (const std::string& asked : {mode("ISTIO_MUTUAL"), port}) {
      INFO(asked);
      const Told told = translate(full, rule(full, asked));
      CHECK_FALSE(is_plain(told));
      CHECK_FALSE(told.endpoints.contains("lbEndpoints"));
      CHECK_FALSE(told.clusters.contains("lbEndpoints"));
      CHECK(told.notes.contains("tls.mode ISTIO_MUTUAL: no tunnel leads to "));
      CHECK(told.notes.contains("plaintext"));
      CHECK(told.notes.contains("rule-" + full));
    }
  }
}

TEST_CASE("ISTIO_MUTUAL: of a service's pods those in the mesh are called, the others named") {
  const Told before = translate("web.shop", "");
  CHECK(before.endpoints.contains(R"("address":"10.244.0.2")"));
  CHECK(before.endpoints.contains(R"("address":"10.244.0.3")"));
  CHECK(before.notes.empty());
  const Told told = translate("web.shop", rule("web", mode("ISTIO_MUTUAL")));
  CHECK_FALSE(is_plain(told));
  CHECK(told.endpoints.contains("10.244.0.1:80"));
  CHECK(told.notes.contains("no tunnel leads to shop/beside, shop/sidecar behind web.shop.svc"));
  CHECK_FALSE(told.notes.contains("shop/inside"));
}

TEST_CASE("ISTIO_MUTUAL of a subset is about that subset") {
  const std::string subsets = R"(subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels:
    {version: v2}, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}])";
  const Told v1 = translate("|http/v1|web.shop", rule("web", subsets));
  CHECK(v1.endpoints.contains("10.244.0.1:80"));
  const Told v2 = translate("|http/v2|web.shop", rule("web", subsets));
  CHECK_FALSE(is_plain(v2));
  CHECK_FALSE(v2.endpoints.contains("lbEndpoints"));
  CHECK(v2.notes.contains("shop/beside, shop/sidecar"));
}

TEST_CASE("a host that is behind another waypoint is called through that one") {
  const std::string other = R"(---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: wp, namespace: out}
spec: {gatewayClassName: weft-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: v1
kind: Service
metadata: {name: wp, namespace: out}
spec: {clusterIP: 10.96.0.9, selector: {gateway: wp}, ports: [{name: mesh, port: 15008}]}
---
apiVersion: v1
kind: Pod
metadata: {name: wp-0, namespace: out, labels: {gateway: wp}}
spec: {nodeName: n, containers: [{name: main, image: a}]}
status: {phase: Running, podIP: 10.244.0.9, conditions: [{type: Ready, status: "True"}]}
)";
  for (const char* resolution : {"STATIC, endpoints: [{address: 192.0.2.3}]", "DNS", "NONE"}) {
    INFO(resolution);
    const std::string behind = R"(---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: far, namespace: out, labels: {istio.io/use-waypoint: wp}}
spec: {hosts: [far.test], addresses: [240.0.0.9], ports: [{number: 80, name: http, protocol: HTTP}],
  resolution: )" + std::string(resolution) +
                               R"(}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec: {hosts: [web], http: [{route: [{destination: {host: far.test}}]}]}
)";
    const Told told =
        translate("far.test", other + behind + rule("far.test", mode("ISTIO_MUTUAL")));
    CHECK_FALSE(is_plain(told));
    CHECK(told.endpoints.contains("240.0.0.9:80@10.244.0.9:15008"));
    CHECK(told.notes.empty());
  }
}

}  // namespace mesh::control
