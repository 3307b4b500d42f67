#include "cli/kubernetes/describe.h"

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

using namespace mesh::cli;

namespace {

constexpr const char* kShop = R"(
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: shop, labels: {app: web}}
spec: {nodeName: n1, serviceAccountName: web, containers: [{name: web, image: web}]}
status: {phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, labels: {istio.io/use-waypoint: way}}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: web}]
  rules: [{backendRefs: [{name: web, port: 80}]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web, namespace: shop}
spec: {selector: {matchLabels: {app: web}}, rules: [{from: [{source: {namespaces: [a]}}]}]}
)";

Inventory shop() {
  Inventory all;
  all.add_file("f.yaml", kShop);
  return all;
}

}  // namespace

TEST_CASE("A pod is described") {
  CHECK(pod_text(pod_facts(shop(), "shop", "web-0")) ==
        "Pod               shop/web-0\n"
        "Node              n1\n"
        "In the mesh       yes, by its namespace's label\n"
        "Identity          spiffe://TRUST_DOMAIN/ns/shop/sa/web\n"
        "Services          web\n"
        "Waypoint          none\n"
        "Mutual TLS        PERMISSIVE (the default)\n"
        "Policies\n"
        "ACTION  AuthorizationPolicy  ENFORCED BY  RULES\n"
        "ALLOW   web.shop             ztunnel      from namespaces a\n");
  CHECK(pod_facts(shop(), "shop", "gone").is_null());
}

TEST_CASE("Policies that are refused are not passed over") {
  Inventory all = shop();
  all.add_file("g.yaml",
               "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
               "metadata: {name: deny, namespace: shop}\nspec: {action: DENY, rulez: []}\n---\n"
               "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n"
               "metadata: {name: strict, namespace: shop}\nspec: {mtls: {mode: STRIKT}}\n");
  const nlohmann::json facts = pod_facts(all, "shop", "web-0");
  REQUIRE(facts["policies"].size() == 2);
  CHECK(facts["policies"][0]["action"] == "REFUSED");
  CHECK(facts["policies"][0]["name"] == "deny.shop");
  CHECK(facts["policies"][0]["rules"][0] ==
        "it cannot be read; what was good before stays in force; if nothing was, all that it "
        "selects is denied");
  CHECK(facts["mutualTls"] ==
        "as shop/strict says, which is refused: what was good before stays in force; if nothing "
        "was, what it selects takes mutual TLS only");
}

TEST_CASE("A service is described, with what is wrong with it") {
  CHECK(service_text(service_facts(shop(), "shop", "web")) ==
        "Service           shop/web\n"
        "Ports             80 http\n"
        "Pods              web-0\n"
        "Waypoint          shop/way, which does not exist, by its own label\n"
        "Routes            HTTPRoute shop/r\n"
        "Findings\n"
        "  WEFT002: there is no waypoint shop/way: its traffic is refused\n"
        "    fix: weft waypoint apply -n shop --name way, or take the label istio.io/use-waypoint "
        "away\n");
}
