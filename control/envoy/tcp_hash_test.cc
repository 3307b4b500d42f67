// Which endpoint a client's connections go to, when they are not HTTP.

#include <catch2/catch_test_macros.hpp>

#include "control/envoy/translate_for_tests.h"
#include "control/folder.h"
#include "mesh/xds/envoy_schema.h"

namespace mesh::control {
namespace {

constexpr const char* kWorld = R"(
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: wp, namespace: a}
spec: {gatewayClassName: weft-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: a, labels: {istio.io/use-waypoint: wp}}
spec: {clusterIP: 10.96.0.1, ports: [{name: tcp, port: 5432}]}
---
apiVersion: v1
kind: Service
metadata: {name: other, namespace: a}
spec: {clusterIP: 10.96.0.2, ports: [{name: tcp, port: 5432}]}
)";

struct Told {
  std::string main = {};
  std::string notes = {};
};

Told translate(const std::string& more) {
  Folder folder;
  const manifest::Parsed written = manifest::parse("m.yaml", std::string(kWorld) + more);
  for (const manifest::Problem& problem : written.problems) FAIL_CHECK(problem.to_string());
  folder.put("m.yaml", written);
  const World world(folder.settle());
  const WaypointConfig config = translate_for_tests(world, Settings{}, "a", "wp");
  const std::string type(xds::message_of(type_url(EnvoyType::kListener)));
  const std::string& bytes = config.of(EnvoyType::kListener).at("main_internal");
  CHECK(xds::unknown_fields(type, bytes).empty());
  Told told{.main = xds::to_json(type, bytes)};
  for (const PolicyNote& note : config.notes) told.notes += note.text + "\n";
  return told;
}

std::string rule(const std::string& host, const std::string& hash) {
  return "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: " +
         host + ", namespace: a}\nspec: {host: " + host +
         ", trafficPolicy: {loadBalancer: {consistentHash: " + hash + "}}}\n";
}

constexpr std::string_view kHashed = R"("hashPolicy":[{"sourceIp":{}}])";

}  // namespace

TEST_CASE("useSourceIp holds for connections, what is in requests does not") {
  CHECK_FALSE(translate("").main.contains("hashPolicy"));
  const Told hashed = translate(rule("db", "{useSourceIp: true}"));
  CHECK(hashed.main.contains(kHashed));
  CHECK(hashed.notes.empty());
  const Told by_header = translate(rule("db", "{httpHeaderName: x-user}"));
  CHECK_FALSE(by_header.main.contains("hashPolicy"));
  CHECK(by_header.notes.contains("useSourceIp alone (port 5432)"));
}

TEST_CASE("it is the rule of the service that the route leads to that counts") {
  const std::string route =
      "---\napiVersion: gateway.networking.k8s.io/v1alpha2\nkind: TCPRoute\nmetadata: {name: r, "
      "namespace: a}\nspec: {parentRefs: [{group: '', kind: Service, name: db}], rules: "
      "[{backendRefs: [{name: other, port: 5432}]}]}\n";
  CHECK(translate(route + rule("other", "{useSourceIp: true}")).main.contains(kHashed));
  CHECK_FALSE(translate(route + rule("db", "{useSourceIp: true}")).main.contains("hashPolicy"));
}

}  // namespace mesh::control
