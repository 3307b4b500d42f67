#include "mesh/manifest/parse.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

namespace mesh::manifest {
namespace {

template <class T>
const T& only(const Parsed& parsed) {
  INFO((parsed.problems.empty() ? std::string() : parsed.problems.front().to_string()));
  REQUIRE(parsed.objects.size() == 1);
  REQUIRE(std::holds_alternative<T>(parsed.objects[0].object));
  return std::get<T>(parsed.objects[0].object);
}

std::string pod(std::string_view name) {
  return "apiVersion: v1\nkind: Pod\nmetadata: {name: " + std::string(name) + "}\n";
}

}  // namespace

TEST_CASE("a stock pod is accepted as it is, fields that nobody reads included") {
  const Parsed parsed = parse("pod.yaml", R"(
apiVersion: v1
kind: Pod
metadata:
  name: web-0
  namespace: shop
  labels: {app: web, version: v1}
  ownerReferences:
  - {apiVersion: apps/v1, kind: ReplicaSet, name: web-5f, uid: u, controller: true}
spec:
  nodeName: node-1
  serviceAccountName: web
  terminationGracePeriodSeconds: 30
  tolerations: [{operator: Exists}]
  containers:
  - name: app
    image: example/web:1
    command: [python3, -m, http.server, "8080"]
    args: []
    env:
    - {name: PORT, value: "8080"}
    - {name: SECRET, valueFrom: {secretKeyRef: {name: s, key: k}}}
    ports: [{name: http, containerPort: 8080}]
    readinessProbe: {httpGet: {path: /ok, port: http}}
    resources: {limits: {cpu: 1}}
status:
  phase: Running
  podIP: 10.244.1.2
  podIPs: [{ip: 10.244.1.2}, {ip: "fd00::2"}]
  conditions: [{type: Ready, status: "True"}]
)");
  const Pod& pod = only<Pod>(parsed);
  CHECK(parsed.problems.empty());
  CHECK(pod.metadata.label("app") == "web");
  CHECK(pod.metadata.owners[0].controller);
  CHECK(pod.service_account == "web");
  CHECK(pod.node_name == "node-1");
  REQUIRE(pod.containers.size() == 1);
  CHECK(pod.containers[0].command ==
        std::vector<std::string>{"python3", "-m", "http.server", "8080"});
  CHECK(pod.containers[0].env.size() == 1);
  CHECK(pod.containers[0].readiness->http.name == "http");
  CHECK(pod.phase == PodPhase::kRunning);
  CHECK(pod.ips.size() == 2);
  CHECK(pod.ready == true);
}

TEST_CASE("what the API server would fill in is filled in") {
  const Parsed parsed = parse("f", pod("web"));
  const Pod& pod = only<Pod>(parsed);
  CHECK(pod.metadata.ns == "default");
  CHECK(pod.service_account == "default");
}

TEST_CASE("a service's ports may be numbers or names, and None is headless") {
  const Parsed parsed = parse("f", R"(
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec:
  clusterIP: None
  selector: {app: db}
  ports: [{port: 5432}, {name: m, port: 80, targetPort: metrics}, {port: 81, targetPort: 8081}]
)");
  const Service& service = only<Service>(parsed);
  CHECK(service.headless);
  CHECK(service.cluster_ips.empty());
  CHECK(service.ports[0].target.empty());
  CHECK(service.ports[1].target.name == "metrics");
  CHECK(service.ports[2].target.number == 8081);
}

TEST_CASE("several documents, lists and JSON are all manifests") {
  CHECK(parse("f", pod("a") + "---\n" + pod("b") + "---\n# nothing\n---\n").objects.size() == 2);
  CHECK(parse("f", R"({"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop"}})")
            .objects.size() == 1);
  CHECK(parse("f",
              "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: "
              "{name: a}}\n- {apiVersion: v1, kind: Pod, metadata: {name: b}}\n")
            .objects.size() == 2);
  CHECK(parse("f", "").problems.empty());
}

TEST_CASE("kinds of others are passed over, unknown kinds of a mesh are said") {
  CHECK(
      parse("f", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n").problems.empty());
  const Parsed other = parse(
      "f", "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {name: x}\n");
  REQUIRE(other.problems.size() == 1);
  CHECK(other.problems[0].severity == Severity::kWarning);
  CHECK_FALSE(other.has_errors());
  const Parsed version = parse(
      "f", "apiVersion: security.istio.io/v7\nkind: AuthorizationPolicy\nmetadata: {name: x}\n");
  CHECK(version.has_errors());
  CHECK_FALSE(version.unidentified);
  REQUIRE(version.broken.size() == 1);
  CHECK(version.broken[0].stand_in != nullptr);
  const Parsed none = parse("f", "kind: AuthorizationPolicy\nmetadata: {name: x}\n");
  REQUIRE(none.broken.size() == 1);
  CHECK(none.problems[0].object == "AuthorizationPolicy default/x");
  const Parsed core = parse("f", "apiVersion: v1\nkind: PeerAuthentication\nmetadata: {name: x}\n");
  CHECK(core.broken.size() == 1);
  const Parsed typo = parse(
      "f", "apiVersion: security.istio.io/v1\nkind: AuthorisationPolicy\nmetadata: {name: x}\n");
  CHECK(typo.unidentified);
  CHECK(typo.has_errors());
  const Parsed others =
      parse("f", "apiVersion: policy.example/v1\nkind: AuthorizationPolicy\nmetadata: {name: x}\n");
  CHECK(others.problems.size() == 1);
  CHECK_FALSE(others.has_errors());
  // Somebody else's Service.
  CHECK(parse("f", "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: x}\n")
            .problems.empty());
}

TEST_CASE("an invalid object is broken, the others of the file are not") {
  const Parsed parsed = parse(
      "p.yaml", pod("good") + "---\n" + pod("bad") + "spec: {containers: 3}\n---\n" + pod("fine"));
  CHECK(parsed.objects.size() == 2);
  REQUIRE(parsed.broken.size() == 1);
  CHECK(parsed.broken[0].key.to_string() == "Pod default/bad");
  REQUIRE(parsed.problems.size() == 1);
  CHECK(parsed.problems[0].to_string() ==
        "p.yaml:8: Pod default/bad: spec.containers: must be a list");
}

TEST_CASE("of two objects of one name in a file neither counts") {
  const Parsed parsed = parse("f.yaml", pod("a") + "---\n" + pod("b") + "---\n" + pod("a"));
  CHECK(parsed.objects.size() == 1);
  REQUIRE(parsed.broken.size() == 2);
  CHECK(parsed.broken[0].key.name == "a");
  CHECK(parsed.broken[1].key.name == "a");
  CHECK(parsed.broken[0].line < parsed.broken[1].line);
  CHECK(parsed.problems[0].message == "there are two objects of this name: the other is at line 1");
}

TEST_CASE("a document that hides which object it is says so") {
  const auto text =
      GENERATE(as<std::string>{}, "- a\n- b\n", "just text\n", "kind: Pod\n",
               "apiVersion: v1\nkind: Pod\nmetadata: {}\n",
               "apiVersion: v1\nkind: Pod\nmetadata: {name: Not_A_Name}\n",
               "apiVersion: v1\nkind: Pod\nmetadata: {name: ../../etc}\n",
               "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: \"b/c\"}\n");
  INFO(text);
  const Parsed parsed = parse("f", text);
  CHECK(parsed.unidentified);
  CHECK(parsed.has_errors());
  CHECK(parsed.objects.empty());
}

TEST_CASE("what is not YAML makes the whole file unreadable, with the line") {
  struct Row {
    std::string text;
    unsigned line;
  };
  const auto row = GENERATE(values<Row>({
      {pod("a") + "---\nkind: [\n", 6},                  // half written
      {pod("a") + "---\nkind: \"Po", 5},                 // cut in the middle of a word
      {"a: 1\nb: \xff\n", 2},                            // not UTF-8
      {"a: 1\nb: 2\na: 3\n", 3},                         // a key twice
      {"base: &x {a: 1}\nmore:\n  <<: *x\n", 3},         // merge keys
      {"a: *unknown\n", 1},                              //
      {std::string("a: \0b\n", 6), 0},                   // not a text file
      {std::string(80, '[') + std::string(80, ']'), 1},  // nested too deeply
  }));
  INFO(row.text);
  const Parsed parsed = parse("f", row.text);
  CHECK(parsed.unreadable);
  CHECK(parsed.objects.empty());
  REQUIRE(parsed.problems.size() == 1);
  CHECK(parsed.problems[0].line == row.line);
}

TEST_CASE("of a file that is not YAML it is told which objects it means, up to what is wrong") {
  const auto broken = [](const std::string& text) {
    const Parsed parsed = parse("f", text);
    CHECK(parsed.unreadable);
    CHECK(parsed.objects.empty());
    CHECK(parsed.problems.size() == 1);
    std::string names;
    for (const BrokenObject& one : parsed.broken) {
      names += (names.empty() ? "" : " ") + one.key.to_string();
    }
    return names;
  };
  const std::string deny =
      "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
      "metadata: {name: deny, namespace: shop}\n";
  const std::string wrong = deny + "spec:\n  action: DENY\n rules: x\n";
  CHECK(broken(wrong) == "AuthorizationPolicy shop/deny");
  CHECK(broken(deny + "spec: {a: 1, a: 2}\n") == "AuthorizationPolicy shop/deny");
  CHECK(broken(deny + "spec: [") == "AuthorizationPolicy shop/deny");
  // What comes before and after is known, too, and is not in force.
  CHECK(broken(pod("a") + "---\n" + wrong + "--- # more\n" + pod("b")) ==
        "Pod default/a Pod default/b AuthorizationPolicy shop/deny");
  CHECK(broken("apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: "
               "{name: a}}\n- {apiVersion: v1, kind: Pod, metadata: {name: b, name: c}}\n") ==
        "Pod default/a");
  // Whose namespace may follow.
  CHECK(broken("apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n bad: [\n").empty());
  CHECK(broken("kind: [").empty());
  CHECK(broken("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nx: \xff\n") == "Pod default/a");
}

TEST_CASE("what may stand for an object that is not YAML is as wide as what is known of it") {
  const Parsed parsed = parse("f",
                              "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
                              "metadata: {name: deny, namespace: shop}\n"
                              "spec:\n  selector: {matchLabels: {app: web}}\n  rules: [{}, ]]\n");
  REQUIRE(parsed.broken.size() == 1);
  REQUIRE(parsed.broken[0].stand_in != nullptr);
  const auto& policy = std::get<AuthorizationPolicy>(*parsed.broken[0].stand_in);
  CHECK(policy.action == AuthorizationAction::kDeny);
  CHECK(policy.selector == Labels{{"app", "web"}});
}

TEST_CASE("a bomb of aliases is a file with too many values") {
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 10; ++j) bomb += (j == 0 ? "" : ", ") + before;
    bomb += "]\n";
  }
  const Parsed parsed = parse("bomb.yaml", bomb);
  CHECK(parsed.unreadable);
  CHECK(parsed.problems[0].message == "too many values");
}

TEST_CASE("depth and width beyond any use are errors, and quickly found") {
  CHECK(parse("f", std::string(1'000'000, '[')).unreadable);
  CHECK(parse("f", std::string(1'000'000, '{')).unreadable);
  std::string wide = "apiVersion: v1\nkind: ConfigMap\ndata:\n";
  for (int i = 0; i < 90'000; ++i) wide += " k" + std::to_string(i) + ": 1\n";
  CHECK(parse("f", wide).problems.empty());
}

TEST_CASE("limits of a file are reached") {
  CHECK(parse("f", std::string(kMaxFileBytes + 1, ' ')).unreadable);
  std::string many;
  for (unsigned i = 0; i <= kMaxDocuments; ++i) many += "---\na: 1\n";
  CHECK(parse("f", many).problems[0].message == "too many documents");
  std::string wrong;
  for (unsigned i = 0; i < 3 * kMaxProblems; ++i) wrong += "---\n- x\n";
  CHECK(parse("f", wrong).problems.size() == kMaxProblems);
}

}  // namespace mesh::manifest
