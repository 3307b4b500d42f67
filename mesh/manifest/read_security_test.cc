// What is an error in a security object, and where the error says it is.

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include "mesh/manifest/parse.h"

namespace mesh::manifest {
namespace {

std::string policy(const std::string& spec) {
  return "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
         "metadata: {name: p, namespace: shop}\nspec:\n" +
         spec;
}

std::string peer(const std::string& spec) {
  return "apiVersion: security.istio.io/v1beta1\nkind: PeerAuthentication\n"
         "metadata: {name: p, namespace: shop}\nspec:\n" +
         spec;
}

std::string source(const std::string& fields) {
  return policy("  rules:\n  - from:\n    - source: {" + fields + "}\n");
}

std::string operation(const std::string& fields) {
  return policy("  rules:\n  - to:\n    - operation: {" + fields + "}\n");
}

struct Row {
  std::string text;
  unsigned line = 0;
  std::string field;
};

void check(const Row& row) {
  INFO(row.text);
  const Parsed parsed = parse("p.yaml", row.text);
  CHECK(parsed.objects.empty());
  REQUIRE(parsed.broken.size() == 1);
  REQUIRE_FALSE(parsed.problems.empty());
  INFO(parsed.problems[0].to_string());
  CHECK(parsed.problems[0].field == row.field);
  CHECK(parsed.problems[0].line == row.line);
}

}  // namespace

TEST_CASE("a stock AuthorizationPolicy is read whole") {
  const Parsed parsed = parse("p.yaml", R"(
apiVersion: security.istio.io/v1beta1
kind: AuthorizationPolicy
metadata:
  name: cart
  namespace: shop
  uid: 5c6b
  resourceVersion: "12"
  generation: 3
  creationTimestamp: "2026-01-01T00:00:00Z"
  managedFields: [{manager: kubectl, operation: Update}]
  annotations: {kubectl.kubernetes.io/last-applied-configuration: "{}"}
spec:
  selector: {matchLabels: {app: cart}}
  action: ALLOW
  rules:
  - from:
    - source:
        principals: ["cluster.local/ns/shop/sa/web", "*/sa/admin", "cluster.local/ns/pay/*"]
        notNamespaces: [evil]
        ipBlocks: [10.0.0.0/8, "fd00::/8", 192.0.2.1]
    to:
    - operation: {ports: ["80", "8080"], methods: [GET], paths: ["/api/*"]}
    when:
    - {key: "request.headers[x-user]", values: [a]}
    - {key: source.ip, notValues: [10.9.0.0/16]}
status: {conditions: []}
)");
  REQUIRE(parsed.problems.empty());
  const auto& policy = std::get<AuthorizationPolicy>(parsed.objects.at(0).object);
  CHECK(policy.selector->at("app") == "cart");
  REQUIRE(policy.rules.size() == 1);
  CHECK(policy.rules[0].from[0].principals.size() == 3);
  CHECK(policy.rules[0].from[0].ip_blocks[2].to_string() == "192.0.2.1/32");
  CHECK(policy.rules[0].to[0].ports == std::vector<std::uint16_t>{80, 8080});
  CHECK(policy.rules[0].when.size() == 2);
}

TEST_CASE("no selector and an empty selector are told apart") {
  CHECK_FALSE(std::get<AuthorizationPolicy>(parse("f", policy("  {}\n")).objects.at(0).object)
                  .selector.has_value());
  const Parsed empty = parse("f", policy("  selector: {}\n"));
  CHECK(std::get<AuthorizationPolicy>(empty.objects.at(0).object).selector->empty());
}

TEST_CASE("fields that do not exist, and text that YAML takes for something else, are errors") {
  check(GENERATE(values<Row>({
      // unknown fields, at every depth
      {policy("  actoin: DENY\n"), 5, "spec.actoin"},
      {policy("  rules:\n  - form: []\n"), 6, "spec.rules[0].form"},
      {source("namespace: [evil]"), 7, "spec.rules[0].from[0].source.namespace"},
      {policy("  rules:\n  - from:\n    - sources: {namespaces: [a]}\n"), 7,
       "spec.rules[0].from[0].source"},
      {operation("port: ['80']"), 7, "spec.rules[0].to[0].operation.port"},
      {policy("  selector: {matchExpressions: []}\n"), 5, "spec.selector.matchExpressions"},
      {policy("  {}\nrules: []\n"), 6, "rules"},
  })));
}

TEST_CASE("values that could only be dropped are errors") {
  check(GENERATE(values<Row>({
      {policy("  action: BLOCK\n"), 5, "spec.action"},
      {source("ipBlocks: [10.0.0.0/33]"), 7, "spec.rules[0].from[0].source.ipBlocks[0]"},
      {source("ipBlocks: [10.0.0.0/8, 10.0.0.300]"), 7, "spec.rules[0].from[0].source.ipBlocks[1]"},
      {source("notIpBlocks: [x]"), 7, "spec.rules[0].from[0].source.notIpBlocks[0]"},
      {operation("ports: ['70000']"), 7, "spec.rules[0].to[0].operation.ports[0]"},
      {operation("ports: ['0x50']"), 7, "spec.rules[0].to[0].operation.ports[0]"},
      {operation("ports: ['http']"), 7, "spec.rules[0].to[0].operation.ports[0]"},
      {operation("ports: ['0']"), 7, "spec.rules[0].to[0].operation.ports[0]"},
      {source("namespaces: [a*b]"), 7, "spec.rules[0].from[0].source.namespaces[0]"},
      {source("namespaces: ['*a*']"), 7, "spec.rules[0].from[0].source.namespaces[0]"},
      {source("namespaces: ['']"), 7, "spec.rules[0].from[0].source.namespaces[0]"},
      {source("principals: ['spiffe://cluster.local/ns/a/sa/b']"), 7,
       "spec.rules[0].from[0].source.principals[0]"},
      {source("serviceAccounts: ['a/b/c']"), 7, "spec.rules[0].from[0].source.serviceAccounts[0]"},
      {policy("  rules:\n  - when: [{key: source.ip, values: [x]}]\n"), 6,
       "spec.rules[0].when[0].values[0]"},
      {policy("  rules:\n  - when: [{key: destination.port, values: ['0']}]\n"), 6,
       "spec.rules[0].when[0].values[0]"},
      {policy("  rules:\n  - when: [{key: source.ipp, values: [x]}]\n"), 6,
       "spec.rules[0].when[0].key"},
      {policy("  rules:\n  - when: [{key: source.namespace}]\n"), 6, "spec.rules[0].when[0].key"},
  })));
}

TEST_CASE("what is empty where that would mean everything, or contradicts itself, is an error") {
  check(GENERATE(values<Row>({
      // text that YAML takes for something else
      {operation("ports: [8080]"), 7, "spec.rules[0].to[0].operation.ports[0]"},
      {source("namespaces: [no]"), 7, "spec.rules[0].from[0].source.namespaces[0]"},
      {source("namespaces: [null]"), 7, "spec.rules[0].from[0].source.namespaces[0]"},
      // empty where empty would mean everything or nothing
      {source(""), 7, "spec.rules[0].from[0].source"},
      {operation(""), 7, "spec.rules[0].to[0].operation"},
      {source("namespaces: []"), 7, "spec.rules[0].from[0].source.namespaces"},
      {policy("  rules:\n  - from: []\n"), 6, "spec.rules[0].from"},
      {policy("  rules:\n  -\n"), 7, "spec.rules[0]"},
      {policy("  action: DENY\n"), 5, "spec.rules"},
      {policy("  action: CUSTOM\n  rules: [{}]\n"), 5, "spec.provider"},
      // combinations that contradict each other
      {source("namespaces: [a], serviceAccounts: [b]"), 7,
       "spec.rules[0].from[0].source.serviceAccounts"},
      {policy("  selector: {}\n  targetRefs: [{kind: Service, name: web}]\n"), 5, "spec.selector"},
      {policy("  targetRefs: [{kind: Pod, name: web}]\n"), 5, "spec.targetRefs[0].kind"},
      // PeerAuthentication
      {peer("  mtls: {mode: STRICKT}\n"), 5, "spec.mtls.mode"},
      {peer("  mtls: {mod: STRICT}\n"), 5, "spec.mtls.mod"},
      {peer("  mode: STRICT\n"), 5, "spec.mode"},
      {peer("  portLevelMtls: {80: {mode: STRICT}}\n"), 5, "spec.portLevelMtls"},
      {peer("  selector: {matchLabels: {a: b}}\n  portLevelMtls: {http: {mode: STRICT}}\n"), 6,
       "spec.portLevelMtls.http"},
  })));
}

TEST_CASE("a name in a metadata field that does not exist is an error too") {
  const Parsed parsed =
      parse("f",
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n"
            "metadata: {name: p, namespcae: shop}\nspec: {mtls: {mode: STRICT}}\n");
  REQUIRE_FALSE(parsed.problems.empty());
  CHECK(parsed.problems[0].field == "metadata.namespcae");
}

TEST_CASE("a PeerAuthentication has a mode, and modes of ports") {
  const Parsed parsed = parse("f", peer("  selector: {matchLabels: {app: web}}\n"
                                        "  mtls: {mode: STRICT}\n"
                                        "  portLevelMtls:\n    8080: {mode: PERMISSIVE}\n"));
  const auto& read = std::get<PeerAuthentication>(parsed.objects.at(0).object);
  CHECK(read.mode == MtlsMode::kStrict);
  CHECK(read.ports.at(8080) == MtlsMode::kPermissive);
}

}  // namespace mesh::manifest
