// What the recorded worlds (golden_test.cc) do not hold: the closed answers to what a ztunnel
// cannot enforce.

#include "control/translate_policies.h"

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "control/folder.h"
#include "control/translation.h"
#include "control/wire_json.h"

namespace mesh::control {
namespace {

using nlohmann::json;

constexpr std::string_view kWorld = R"(
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {nodeName: n1, serviceAccountName: web}
status: {phase: Running, podIP: 10.244.1.10, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.5, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
)";

class Bench {
 public:
  explicit Bench(const std::string& more) {
    Folder folder;
    folder.put("m.yaml", manifest::parse("m.yaml", std::string(kWorld) + more));
    const Objects objects = folder.settle();
    REQUIRE_FALSE(folder.has_errors());
    snapshot_ = Translation({}, 1).next(std::make_shared<const World>(objects));
  }
  json policy(const std::string& name) const {
    return find(xds::ResourceType::kAuthorization, name);
  }
  json pod() const {
    return find(xds::ResourceType::kAddress, "Kubernetes//Pod/shop/web")["workload"];
  }
  std::string note() const { return snapshot_->notes.empty() ? "" : snapshot_->notes[0].text; }
  std::size_t count(xds::ResourceType type) const { return snapshot_->of(type).size(); }

 private:
  json find(xds::ResourceType type, const std::string& name) const {
    const auto found = snapshot_->of(type).find(name);
    return found == snapshot_->of(type).end() ? json() : to_json(type, *found->second);
  }
  std::shared_ptr<const Snapshot> snapshot_;
};

std::string policy(const std::string& spec) {
  return "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
         "metadata: {name: p, namespace: shop}\nspec: {" +
         spec + "}\n";
}

}  // namespace

TEST_CASE("a policy for a Service without a waypoint is enforced on the pods behind it") {
  const Bench bench(
      policy("targetRefs: [{kind: Service, name: web}], action: DENY, rules: "
             "[{from: [{source: {namespaces: [evil]}}]}]"));
  CHECK(bench.policy("shop/p")["scope"] == "WORKLOAD_SELECTOR");
  CHECK(bench.pod()["authorizationPolicies"] == json({"shop/p"}));
  CHECK(bench.note().find("no waypoint") != std::string::npos);
}

TEST_CASE("a policy for a Service behind a waypoint is the waypoint's alone") {
  const Bench bench(policy("targetRefs: [{kind: Service, name: other}], rules: [{}]") +
                    "---\napiVersion: v1\nkind: Service\nmetadata: {name: other, namespace: shop, "
                    "labels: {istio.io/use-waypoint: w}}\nspec: {clusterIP: 10.96.0.6}\n");
  CHECK(bench.count(xds::ResourceType::kAuthorization) == 0);
}

TEST_CASE("CUSTOM without a waypoint denies what it would ask about") {
  const Bench bench(
      policy("action: CUSTOM, provider: {name: x}, rules: "
             "[{to: [{operation: {ports: ['80'], paths: [/a]}}]}]"));
  CHECK(bench.policy("shop/p")["action"] == "DENY");
  CHECK(bench.policy("shop/p")["groups"] ==
        json::parse(R"([{"rules": [{"matches": [{"destinationPorts": [80]}]}]}])"));
}

TEST_CASE("AUDIT enforces nothing, and that is said") {
  const Bench bench(policy("action: AUDIT, rules: [{}]"));
  CHECK(bench.count(xds::ResourceType::kAuthorization) == 0);
  CHECK(bench.note().find("AUDIT") != std::string::npos);
}

TEST_CASE("of ALLOW only the alternatives that can be seen are left; of DENY all, broadened") {
  const std::string rules =
      "rules: [{from: [{source: {requestPrincipals: [x]}}, {source: {namespaces: [a]}}], "
      "to: [{operation: {methods: [GET], ports: ['80']}}, {operation: {ports: ['81']}}]}]";
  CHECK(Bench(policy("action: ALLOW, " + rules)).policy("shop/p")["groups"] ==
        json::parse(R"([{"rules": [{"matches": [{"destinationPorts": [81]}]},
                                   {"matches": [{"namespaces": [{"exact": "a"}]}]}]}])"));
  // The first source lost its only condition: it is anybody now.
  CHECK(Bench(policy("action: DENY, " + rules)).policy("shop/p")["groups"] ==
        json::parse(R"([{"rules": [{"matches": [{"destinationPorts": [80]},
                                                {"destinationPorts": [81]}]}]}])"));
}

TEST_CASE("an ALLOW that only excludes needs an identity; one that asks for none does not") {
  const auto groups = [](const std::string& source) {
    return Bench(policy("rules: [{from: [{source: {" + source + "}}]}]"))
        .policy("shop/p")["groups"][0]["rules"][0]["matches"][0];
  };
  const json presence = json::parse(R"([{"presence": {}}])");
  CHECK(groups("notPrincipals: [a/b]")["principals"] == presence);
  CHECK(groups("namespaces: ['*']")["principals"] == presence);
  CHECK(groups("notServiceAccounts: [x]")["principals"] == presence);
  CHECK_FALSE(groups("namespaces: [a], notNamespaces: [b]").contains("principals"));
  CHECK_FALSE(groups("notPrincipals: ['*']").contains("principals"));
  CHECK(groups("serviceAccounts: [web, pay/job]")["serviceAccounts"] ==
        json({"shop/web", "pay/job"}));
}

TEST_CASE("no policy holds an empty match") {
  for (const char* spec :
       {"action: DENY, rules: [{to: [{operation: {paths: [/a]}}]}]",
        "action: DENY, rules: [{when: [{key: 'request.headers[x]', values: [a]}]}]",
        "action: DENY, rules: [{from: [{source: {remoteIpBlocks: [10.0.0.0/8]}}]}]",
        "action: ALLOW, rules: [{to: [{operation: {paths: [/a]}}]}]",
        "action: ALLOW, rules: [{when: [{key: connection.sni, values: [a]}]}]"}) {
    INFO(spec);
    CHECK(Bench(policy(spec)).policy("shop/p").dump().find("{}]}") == std::string::npos);
  }
}

TEST_CASE("an endpoint that is a pod's address is that pod") {
  const Bench bench(
      "apiVersion: v1\nkind: Service\nmetadata: {name: by-hand, namespace: shop}\n"
      "spec: {clusterIP: 10.96.0.7, ports: [{name: x, port: 90}]}\n---\n"
      "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
      "metadata: {name: s, namespace: shop, labels: {kubernetes.io/service-name: by-hand}}\n"
      "addressType: IPv4\nendpoints: [{addresses: [10.244.1.10]}]\nports: [{name: x, port: 9}]\n");
  CHECK(bench.count(xds::ResourceType::kAddress) == 3);  // the pod and two services
  CHECK(bench.pod()["tunnelProtocol"] == "HBONE");
  CHECK(bench.pod()["services"]["shop/by-hand.shop.svc.cluster.local"]["ports"] ==
        json::parse(R"([{"servicePort": 90, "targetPort": 9}])"));
}

TEST_CASE("a label is enough to be in the mesh, and enough to be out of it") {
  const auto tunnel = [](const std::string& labels, const std::string& more = "") {
    const std::string text =
        "apiVersion: v1\nkind: Pod\nmetadata: {name: x, namespace: shop, labels: {" + labels +
        "}}\nspec: {nodeName: n1" + more + "}\nstatus: {phase: Running, podIP: 10.244.1.77}\n";
    Folder folder;
    folder.put("m.yaml", manifest::parse("m.yaml", std::string(kWorld) + text));
    const World world(folder.settle());
    return is_enrolled(world, *world.find<manifest::Pod>("shop", "x"));
  };
  CHECK(tunnel(""));
  CHECK_FALSE(tunnel("istio.io/dataplane-mode: none"));
  CHECK_FALSE(tunnel("weft.dev/dataplane-mode: none"));
  CHECK_FALSE(tunnel("security.istio.io/tlsMode: istio"));
  CHECK_FALSE(tunnel("", ", hostNetwork: true"));
}

}  // namespace mesh::control
