#include <catch2/catch_test_macros.hpp>

#include "cli/analyze/finding.h"
#include "cli/analyze/policy.h"

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
spec: {containers: [{name: web, image: web}]}
status: {phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
)";

constexpr const char* kWaypoint = R"(
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: way, namespace: shop}
spec: {gatewayClassName: weft-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
)";

Inventory inventory(const std::string& text) {
  Inventory all;
  all.add_file("f.yaml", text);
  return all;
}

// "WEFT002 Service shop/web", one for each finding.
std::vector<std::string> found(const std::string& text) {
  std::vector<std::string> list;
  for (const Finding& one : analyze(inventory(text))) {
    CHECK_FALSE(one.fix.empty());
    CHECK(one.place.file == "f.yaml");
    CHECK(one.place.line > 0);
    list.push_back(one.code + " " + one.object);
  }
  return list;
}

struct Row {
  const char* what;
  std::string text;
  std::vector<std::string> found;
};

void check(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    CAPTURE(row.what);
    CHECK(found(row.text) == row.found);
  }
}

std::string shop(const std::string& more) { return kShop + more; }

std::string service(const std::string& metadata, const std::string& spec) {
  return "apiVersion: v1\nkind: Service\nmetadata: {" + metadata + "}\nspec: {" + spec + "}\n---\n";
}

std::string policy(const std::string& spec, const std::string& name = "p",
                   const std::string& ns = "shop") {
  return "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: " + name +
         ", namespace: " + ns + "}\nspec: " + spec + "\n---\n";
}

std::string peers(const std::string& spec, const std::string& name) {
  return "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: " + name +
         ", namespace: shop}\nspec: " + spec + "\n---\n";
}

std::string route(const std::string& backend, const std::string& ns = "shop") {
  return "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r, "
         "namespace: " +
         ns +
         "}\nspec: {parentRefs: [{kind: Service, group: '', name: web}], rules: "
         "[{backendRefs: [" +
         backend + "]}]}\n---\n";
}

const std::string kUse = "name: api, namespace: shop, labels: {istio.io/use-waypoint: way";
const std::string kWeb = "selector: {app: web}, ports: [{name: http, port: 80}]";

}  // namespace

TEST_CASE("A shop in order has no findings") { CHECK(found(kShop).empty()); }

TEST_CASE("Waypoints: absent, not admitting, of the wrong kind") {
  const std::string use = service(kUse + "}", kWeb);
  const std::string elsewhere = service(kUse + ", istio.io/use-waypoint-namespace: edge}", kWeb);
  const std::string edge =
      "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: way, namespace: "
      "edge}\nspec: {gatewayClassName: weft-waypoint, listeners: [{name: mesh, port: 15008, "
      "protocol: HBONE, allowedRoutes: {namespaces: {from: FROM}}}]}\n---\n";
  const auto from = [&](const std::string& value) {
    std::string text = edge;
    return text.replace(text.find("FROM"), 4, value);
  };
  const std::string workload =
      "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: way, namespace: "
      "shop, labels: {istio.io/waypoint-for: workload}}\nspec: {gatewayClassName: weft-waypoint, "
      "listeners: [{name: mesh, port: 15008, protocol: HBONE}]}\n---\n";
  check(
      {{"absent", shop(use), {"WEFT002 Service shop/api"}},
       {"there", shop(use + kWaypoint), {}},
       {"a gateway of another class",
        shop(use + "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: way, "
                   "namespace: shop}\nspec: {gatewayClassName: nginx, listeners: [{name: a, port: "
                   "80, protocol: HTTP}]}\n"),
        {"WEFT002 Service shop/api"}},
       {"in another namespace, for itself only",
        shop(elsewhere + from("Same")),
        {"WEFT004 Service shop/api"}},
       {"in another namespace, for all", shop(elsewhere + from("All")), {}},
       {"for workloads only", shop(use + workload), {"WEFT005 Service shop/api"}},
       {"none is a name for no waypoint",
        shop(service("name: api, namespace: shop, labels: {istio.io/use-waypoint: none}", kWeb)),
        {}}});
}

TEST_CASE("Names of ports") {
  const auto port = [](const std::string& text) {
    return shop(
        service("name: api, namespace: shop", "selector: {app: web}, ports: [{" + text + "}]"));
  };
  const std::vector<std::string> slip = {"WEFT006 Service shop/api"};
  check({{"a slip", port("name: htp, port: 80"), slip},
         {"another", port("name: gprc-web2, port: 80"), {}},
         {"a letter too many", port("name: grpcc, port: 80"), slip},
         {"udp over TCP", port("name: udp-dns, port: 53"), slip},
         {"http over UDP", port("name: http, port: 53, protocol: UDP"), slip},
         {"with a suffix", port("name: http-api, port: 80"), {}},
         {"appProtocol says it", port("name: htp, port: 80, appProtocol: http"), {}},
         {"any name, without a waypoint", port("name: main, port: 80"), {}},
         {"any name, before a waypoint",
          shop(service(kUse + "}", "selector: {app: web}, ports: [{name: main, port: 80}]") +
               kWaypoint),
          slip}});
}

TEST_CASE("Selectors that match nothing, and services without endpoints") {
  const std::string unready =
      "apiVersion: v1\nkind: Pod\nmetadata: {name: db-0, namespace: shop, labels: {app: "
      "db}}\nspec: "
      "{containers: [{name: db, image: db}]}\nstatus: {phase: Running, conditions: [{type: Ready, "
      "status: \"False\"}]}\n---\n";
  const std::string slice =
      "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: api-1, namespace: "
      "shop, "
      "labels: {kubernetes.io/service-name: api}}\naddressType: IPv4\nendpoints: [{addresses: "
      "[10.0.0.1], conditions: {ready: true}}]\nports: [{name: http, port: 80}]\n---\n";
  const std::string deployment =
      "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: db, namespace: shop}\nspec: "
      "{template: "
      "{metadata: {labels: {app: db}}, spec: {containers: [{name: db, image: db}]}}}\n---\n";
  const std::string db =
      service("name: db, namespace: shop", "selector: {app: db}, ports: [{name: tcp, port: 80}]");
  const std::string bare = service("name: api, namespace: shop", "ports: [{name: http, port: 80}]");
  check({{"no pod", shop(db), {"WEFT007 Service shop/db"}},
         {"no ready pod", shop(db + unready), {"WEFT011 Service shop/db"}},
         {"a Deployment's template counts", shop(db + deployment), {}},
         {"no selector, no slice", shop(bare), {"WEFT011 Service shop/api"}},
         {"no selector, a slice", shop(bare + slice), {}},
         {"a policy for nobody",
          shop(policy("{selector: {matchLabels: {app: gone}}}")),
          {"WEFT007 AuthorizationPolicy shop/p"}},
         {"peers of nobody",
          shop(peers("{selector: {matchLabels: {app: gone}}, mtls: {mode: STRICT}}", "a")),
          {"WEFT007 PeerAuthentication shop/a"}},
         {"nothing is known of pods", policy("{selector: {matchLabels: {app: gone}}}") + db, {}}});
}

TEST_CASE("Policies that have no effect where they are attached") {
  const std::string l7 = "rules: [{to: [{operation: {methods: [GET]}}]}]";
  const std::string target = "targetRefs: [{group: '', kind: Service, name: ";
  const std::vector<std::string> without = {"WEFT001 AuthorizationPolicy shop/p"};
  check(
      {{"methods, at ztunnel", shop(policy("{" + l7 + "}")), without},
       {"a token's claim, at ztunnel",
        shop(policy("{rules: [{when: [{key: 'request.auth.claims[a]', values: [b]}]}]}")), without},
       {"who connects, at ztunnel",
        shop(policy("{rules: [{from: [{source: {namespaces: [a]}}]}]}")),
        {}},
       {"CUSTOM, at ztunnel", shop(policy("{action: CUSTOM, provider: {name: x}, rules: [{}]}")),
        without},
       {"a service without a waypoint", shop(policy("{" + target + "web}], " + l7 + "}")), without},
       {"a service with one",
        shop(service(kUse + "}", kWeb) + kWaypoint + policy("{" + target + "api}], " + l7 + "}")),
        {}},
       {"a service that is not there", shop(policy("{" + target + "gone}], " + l7 + "}")), without},
       {"a waypoint",
        shop(kWaypoint + policy("{targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, "
                                "name: way}], " +
                                l7 + "}")),
        {}},
       {"a gateway that is not there",
        shop(policy(
            "{targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: gone}]}")),
        without},
       {"tokens, without a target",
        shop("apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: t, "
             "namespace: shop}\nspec: {jwtRules: [{issuer: a, jwksUri: 'https://a/k'}]}\n"),
        {"WEFT001 RequestAuthentication shop/t"}}});
}

TEST_CASE("PeerAuthentications that contradict each other") {
  const std::string strict = "{mtls: {mode: STRICT}}";
  const std::string open = "{mtls: {mode: PERMISSIVE}}";
  const std::string web = "selector: {matchLabels: {app: web}}, ";
  check({{"of a namespace",
          shop(peers(strict, "a") + peers(open, "b")),
          {"WEFT008 PeerAuthentication shop/b"}},
         {"the same said twice", shop(peers(strict, "a") + peers(strict, "b")), {}},
         {"of the same pods",
          shop(peers("{" + web + "mtls: {mode: STRICT}}", "a") +
               peers("{" + web + "mtls: {mode: DISABLE}}", "b")),
          {"WEFT008 PeerAuthentication shop/b"}},
         {"a namespace and a pod",
          shop(peers(strict, "a") + peers("{" + web + "mtls: {mode: PERMISSIVE}}", "b")),
          {}}});
}

TEST_CASE("Routes to what is not there, or not granted") {
  const std::string grant =
      "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {name: g, "
      "namespace: shop}\nspec: {from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, "
      "namespace: "
      "edge}], to: [{group: '', kind: Service, name: web}]}\n---\n";
  const std::string across = route("{name: web, namespace: shop, port: 80}", "edge");
  check({{"there", shop(route("{name: web, port: 80}")), {}},
         {"no service", shop(route("{name: gone, port: 80}")), {"WEFT009 HTTPRoute shop/r"}},
         {"no such port", shop(route("{name: web, port: 81}")), {"WEFT009 HTTPRoute shop/r"}},
         {"said once",
          shop(route("{name: gone, port: 80}, {name: gone, port: 80}")),
          {"WEFT009 HTTPRoute shop/r"}},
         {"not granted", shop(across), {"WEFT010 HTTPRoute edge/r"}},
         {"granted", shop(grant + across), {}},
         {"granted to another",
          shop(grant + route("{name: web, namespace: shop, port: 80}", "other")),
          {"WEFT010 HTTPRoute other/r"}}});
}

TEST_CASE("Pods in their node's network") {
  const auto pod = [](const std::string& labels) {
    return shop("apiVersion: v1\nkind: Pod\nmetadata: {name: agent, namespace: shop, labels: {" +
                labels +
                "}}\nspec: {hostNetwork: true, containers: [{name: agent, image: agent}]}\n");
  };
  check({{"labelled itself", pod("istio.io/dataplane-mode: ambient"), {"WEFT012 Pod shop/agent"}},
         {"by its namespace", pod("app: agent"), {"WEFT012 Pod shop/agent"}},
         {"left out", pod("istio.io/dataplane-mode: none"), {}}});
  CHECK(analyze(inventory(pod("app: agent"))).front().weight == Weight::kInfo);
}

TEST_CASE("The root namespace is the one that control is started with") {
  const auto applied = [](const std::string& args) {
    std::string text = kShop;
    text += policy("{}", "here", "istio-system") + policy("{}", "there", "weft-system") +
            policy("{}", "elsewhere", "root");
    if (!args.empty()) {
      text +=
          "apiVersion: v1\nkind: Pod\nmetadata: {name: c, namespace: weft-system, labels: {app: "
          "weft-control}}\nspec: {containers: [{name: control, image: c, args: [" +
          args + "]}]}\n---\n";
    }
    const Inventory all = inventory(text);
    std::string names;
    for (const AppliedPolicy& one :
         policies_for(all, *all.find<mesh::manifest::Pod>("shop", "web-0"))) {
      names += one.policy->metadata.name + " ";
    }
    return names;
  };
  CHECK(applied("") == "here there ");
  CHECK(applied("--kubernetes") == "here ");
  CHECK(applied("--kubernetes, --root-namespace=weft-system") == "there ");
  CHECK(applied("--kubernetes, --root-namespace, root") == "elsewhere ");
}

TEST_CASE("What was for Istio's whole mesh") {
  const auto with_root = [](const std::string& root, const std::string& manifests) {
    return shop(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: c, namespace: weft-system, labels: "
        "{app: weft-control}}\nspec: {containers: [{name: control, image: c, args: "
        "[--kubernetes, --root-namespace=" +
        root + "]}]}\n---\n" + manifests);
  };
  const std::string strict =
      "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default, "
      "namespace: istio-system}\nspec: {mtls: {mode: STRICT}}\n---\n";
  const std::string nobody = policy("{}", "nobody", "istio-system");
  check({{"a mode",
          with_root("weft-system", strict),
          {"WEFT015 PeerAuthentication istio-system/default"}},
         {"a policy",
          with_root("weft-system", nobody),
          {"WEFT015 AuthorizationPolicy istio-system/nobody"}},
         {"the same root", with_root("istio-system", strict + nobody), {}},
         {"nobody knows the root", shop(strict + nobody), {}},
         {"another namespace's", with_root("weft-system", policy("{}", "nobody", "shop")), {}}});
}

TEST_CASE("A manifest that cannot be read says where") {
  const Findings findings = analyze(inventory(policy("{action: ALLOW, rule: []}")));
  REQUIRE(findings.size() == 1);
  CHECK(findings.front().code == "WEFT013");
  CHECK(findings.front().place.line == 4);
  CHECK(findings.front().message.ends_with(
      "; what was good before stays in force; if nothing was, all that it selects is denied"));
}

TEST_CASE("A file that is not YAML says which policies it closes") {
  const Findings findings = analyze(inventory(policy("{rules: [{}]}") + "x: [\n"));
  REQUIRE(findings.size() == 2);
  CHECK(findings[0].code == "WEFT013");
  CHECK(findings[0].object != findings[1].object);
  CHECK(findings[0].message.find("denied") != findings[1].message.find("denied"));
}

TEST_CASE("A field without effect is named, and the rest of the object stands") {
  const Findings findings = analyze(inventory(
      "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v, namespace: "
      "shop}\nspec:\n  hosts: [web]\n  http:\n  - route: [{destination: {host: web}}]\n"
      "    retries: {attempts: 2, retryRemoteLocalities: true}\n"));
  REQUIRE(findings.size() == 1);
  CHECK(findings.front().code == "WEFT014");
  CHECK(findings.front().weight == Weight::kWarning);
  CHECK(findings.front().object == "VirtualService shop/v");
  CHECK(findings.front().place.line == 8);
  CHECK(findings.front().message.find("spec.http[0].retries.retryRemoteLocalities") == 0);
}

TEST_CASE("Which policies apply to a pod, and who enforces them") {
  const Inventory all = inventory(shop(
      service(kUse + "}", kWeb) + kWaypoint +
      policy("{action: DENY, rules: [{from: [{source: {namespaces: [a, b]}}], to: [{operation: "
             "{ports: ['80']}}], when: [{key: source.ip, values: [10.0.0.1]}]}]}",
             "low") +
      policy("{targetRefs: [{group: '', kind: Service, name: api}]}", "high") +
      policy("{selector: {matchLabels: {app: other}}}", "other") +
      policy("{}", "mesh", "istio-system") + peers("{mtls: {mode: STRICT}}", "a")));
  const auto* pod = all.find<mesh::manifest::Pod>("shop", "web-0");
  REQUIRE(pod != nullptr);
  std::vector<std::string> applied;
  for (const AppliedPolicy& one : policies_for(all, *pod)) {
    applied.push_back(one.policy->metadata.name + " by " + one.by);
  }
  CHECK(applied ==
        std::vector<std::string>{"mesh by ztunnel", "high by waypoint shop/way", "low by ztunnel"});
  CHECK(mtls_of(all, *pod) == "STRICT (shop/a)");
  CHECK(rule_lines(*all.find<mesh::manifest::AuthorizationPolicy>("shop", "low")) ==
        std::vector<std::string>{"from namespaces a,b; to ports 80; when source.ip in 10.0.0.1"});
}
