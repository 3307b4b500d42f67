#include "control/kubernetes/waypoint_parts.h"

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "control/folder.h"
#include "mesh/manifest/json.h"

namespace mesh::control::kubernetes {
namespace {

using nlohmann::json;

constexpr const char* kGateway = R"(
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: shop, uid: u-1}
spec:
  gatewayClassName: weft-waypoint
  listeners: [{name: mesh, port: 15008, protocol: HBONE}]
)";

World world_of(const std::string& text) {
  Folder folder;
  folder.put("m.yaml", manifest::parse("m.yaml", text));
  World world(folder.settle());
  REQUIRE(folder.problems().empty());
  return world;
}

struct Made {
  std::map<std::string, json> parts;  // by plural and name
  std::vector<std::string> problems;
};

Made make(const std::string& text, const Parameters& parameters = {},
          const WaypointOptions& options = {.image = "r/weft-waypoint:1"}) {
  Made made;
  std::vector<WaypointProblem> problems;
  for (const WaypointPart& part :
       waypoint_parts(world_of(text), Settings{}, options, parameters, problems)) {
    made.parts[part.target.type.plural + " " + part.target.name] = json::parse(part.body);
  }
  for (const WaypointProblem& problem : problems) made.problems.push_back(problem.text);
  return made;
}

manifest::Value live(const json& object) {
  const auto value = manifest::read_json(object.dump());
  REQUIRE(value);
  return *value;
}

TEST_CASE("a Gateway of our class becomes five parts that belong to it, and the classes are made") {
  const Made made = make(kGateway);
  CHECK(made.problems.empty());
  CHECK(made.parts.size() == 7);
  CHECK(made.parts.contains("gatewayclasses weft-waypoint"));
  CHECK(made.parts.contains("gatewayclasses istio-waypoint"));
  for (const char* plural : {"serviceaccounts", "services", "deployments",
                             "horizontalpodautoscalers", "poddisruptionbudgets"}) {
    INFO(plural);
    const json& part = made.parts.at(std::string(plural) + " waypoint");
    CHECK(part["metadata"]["ownerReferences"][0]["uid"] == "u-1");
    CHECK(part["metadata"]["labels"]["gateway.networking.k8s.io/gateway-name"] == "waypoint");
  }
  const json& deployment = made.parts.at("deployments waypoint");
  const json& pod = deployment["spec"]["template"];
  CHECK(pod["metadata"]["labels"]["istio.io/dataplane-mode"] == "none");
  CHECK(pod["spec"]["serviceAccountName"] == "waypoint");
  CHECK(pod["spec"]["automountServiceAccountToken"] == false);
  CHECK(pod["spec"]["containers"][0]["image"] == "r/weft-waypoint:1");
  CHECK_FALSE(deployment["spec"].contains("replicas"));  // the autoscaler's
  const json& ports = made.parts.at("services waypoint")["spec"]["ports"];
  CHECK(ports[1]["port"] == 15008);
  CHECK(ports[1]["appProtocol"] == "hbone");
}

TEST_CASE("who is not ours has no parts") {
  const std::string other = R"(
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: weft-waypoint}
spec: {controllerName: example.org/other}
---)";
  CHECK(make(other + kGateway).parts.size() == 1);  // istio-waypoint
  std::string by_hand = kGateway;
  by_hand += "  addresses: [{type: IPAddress, value: 10.0.0.1}]\n";
  CHECK(make(by_hand).parts.size() == 2);
}

TEST_CASE("a Service of its name that is somebody else's is left alone, and said") {
  const Made made = make(std::string(kGateway) + R"(
---
apiVersion: v1
kind: Service
metadata: {name: waypoint, namespace: shop}
spec: {ports: [{port: 80}]}
)");
  CHECK(made.parts.size() == 2);
  CHECK(made.problems ==
        std::vector<std::string>{"a Service of its name is there already, and is not its"});
}

TEST_CASE("infrastructure's labels and annotations are on everything") {
  std::string text = kGateway;
  text += "  infrastructure: {labels: {team: a}, annotations: {note: b}}\n";
  const Made made = make(text);
  const json& deployment = made.parts.at("deployments waypoint");
  CHECK(deployment["metadata"]["labels"]["team"] == "a");
  CHECK(deployment["metadata"]["annotations"]["note"] == "b");
  CHECK(deployment["spec"]["template"]["metadata"]["labels"]["team"] == "a");
}

TEST_CASE("parameters patch a part, but not whose it is") {
  std::string text = kGateway;
  text += "  infrastructure: {parametersRef: {group: '', kind: ConfigMap, name: p}}\n";
  const Parameters parameters = {{"shop/p",
                                  {{"deployment", R"(
metadata: {name: other, labels: {gateway.istio.io/managed: nobody, x: 'y'}}
spec:
  template:
    spec:
      nodeSelector: {disk: fast}
      containers:
      - name: waypoint
        resources: {requests: {cpu: 500m}}
)"},
                                   {"horizontalPodAutoscaler", "spec: {maxReplicas: 5}"}}}};
  const Made made = make(text, parameters);
  CHECK(made.problems.empty());
  const json& deployment = made.parts.at("deployments waypoint");
  CHECK(deployment["metadata"]["name"] == "waypoint");
  CHECK(deployment["metadata"]["labels"]["gateway.istio.io/managed"] == "weft.dev-mesh-controller");
  CHECK(deployment["metadata"]["labels"]["x"] == "y");
  const json& pod = deployment["spec"]["template"]["spec"];
  CHECK(pod["nodeSelector"]["disk"] == "fast");
  CHECK(pod["containers"].size() == 1);
  CHECK(pod["containers"][0]["resources"]["requests"] ==
        json({{"cpu", "500m"}, {"memory", "64Mi"}}));
  CHECK(made.parts.at("horizontalpodautoscalers waypoint")["spec"]["maxReplicas"] == 5);
}

TEST_CASE("parameters choose stock Envoy, with its identity kept beside it") {
  std::string text = kGateway;
  text += "  infrastructure: {parametersRef: {group: '', kind: ConfigMap, name: p}}\n";
  const WaypointOptions options{
      .image = "ours", .envoy_image = "r/envoy:v1", .sds_image = "r/weft-sds:1"};
  const Made made = make(text,
                         {{"shop/p",
                           {{"proxy", "envoy"},
                            {"deployment",
                             "spec: {template: {spec: {containers: [{name: waypoint, "
                             "resources: {requests: {cpu: 500m}}}]}}}"}}}},
                         options);
  CHECK(made.problems.empty());
  const json& pod = made.parts.at("deployments waypoint")["spec"]["template"]["spec"];
  REQUIRE(pod["containers"].size() == 1);
  const json& proxy = pod["containers"][0];
  CHECK(proxy["image"] == "r/envoy:v1");
  CHECK(proxy["resources"]["requests"]["cpu"] == "500m");
  CHECK(proxy["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault");
  REQUIRE(pod["initContainers"].size() == 1);
  const json& identity = pod["initContainers"][0];
  CHECK(identity["image"] == "r/weft-sds:1");
  CHECK(identity["restartPolicy"] == "Always");
  CHECK(identity["securityContext"]["seccompProfile"]["localhostProfile"] == "weft/waypoint.json");
  // The token is for the sidecar alone, and the key is on no disk.
  CHECK_FALSE(proxy["volumeMounts"].dump().contains("\"token\""));
  CHECK(identity["volumeMounts"].dump().contains("\"token\""));
  CHECK(pod["volumes"].dump().contains(R"("emptyDir":{"medium":"Memory"})"));
  CHECK(make(text, {{"shop/p", {{"proxy", "nginx"}}}}).problems ==
        std::vector<std::string>{"proxy: must be weft or envoy"});
  CHECK(
      make(text, {{"shop/p", {{"proxy", "weft"}}}}, options)
          .parts.at("deployments waypoint")["spec"]["template"]["spec"]["containers"][0]["image"] ==
      "ours");
}

TEST_CASE("what waypoints trust is in the ConfigMap that control writes") {
  const Made made = make(kGateway, {}, {.root_map = "weft-ca-root-cert"});
  CHECK(made.parts.at("deployments waypoint")
            .dump()
            .contains(R"("configMap":{"name":"weft-ca-root-cert"})"));
}

TEST_CASE("parameters that are missing or cannot be read hold the parts back") {
  std::string text = kGateway;
  text += "  infrastructure: {parametersRef: {group: '', kind: ConfigMap, name: p}}\n";
  CHECK(make(text).problems == std::vector<std::string>{"there is no ConfigMap shop/p"});
  CHECK(make(text).parts.size() == 2);
  CHECK(make(text, {{"shop/p", {{"deployment", "a: ["}}}}).problems.size() == 1);
  CHECK(make(text, {{"shop/p", {{"nothing", "a: 1"}}}}).problems ==
        std::vector<std::string>{"nothing is not a part of a waypoint"});
  CHECK(make(text, {{"shop/p", {{"service", "text"}}}}).problems ==
        std::vector<std::string>{"service: not one YAML mapping"});
}

TEST_CASE("a part holds when everything in it is there, whatever else is") {
  const json wanted = {{"spec",
                        {{"ports", {{{"name", "a"}, {"port", 1}}, {{"name", "b"}, {"port", 2}}}},
                         {"list", {1, 2}},
                         {"on", true},
                         {"empty", json::object()}}}};
  json there = wanted;
  there["status"] = {{"x", 1}};
  there["spec"]["clusterIP"] = "10.0.0.1";
  there["spec"]["ports"] = {{{"name", "b"}, {"port", 2}, {"nodePort", 7}},
                            {{"name", "a"}, {"port", 1}}};
  there["spec"].erase("empty");
  CHECK(holds(wanted.dump(), live(there)));
  there["spec"]["ports"][0]["port"] = 3;
  CHECK_FALSE(holds(wanted.dump(), live(there)));
  there = wanted;
  there["spec"]["list"] = {1, 2, 3};
  CHECK_FALSE(holds(wanted.dump(), live(there)));
  there = wanted;
  there["spec"].erase("on");
  CHECK_FALSE(holds(wanted.dump(), live(there)));
}

}  // namespace
}  // namespace mesh::control::kubernetes
