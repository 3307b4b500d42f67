// What waypoints are told of the tokens that RequestAuthentications believe.

#include <catch2/catch_test_macros.hpp>

#include "control/envoy/translate_for_tests.h"
#include "control/folder.h"
#include "mesh/xds/envoy_schema.h"

namespace mesh::control {
namespace {

constexpr const char* kMesh = R"(
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, labels: {istio.io/use-waypoint: waypoint}}
spec: {clusterIP: 10.96.0.1, ports: [{name: http, port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: shop}
spec: {gatewayClassName: weft-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: web, namespace: shop}
spec:
  targetRefs: [{group: '', kind: Service, name: web}]
  jwtRules:
)";

// The listener of HTTP to web, whose tokens are checked by `rules`.
std::string told(const std::string& rules) {
  const manifest::Parsed written = manifest::parse("m.yaml", kMesh + rules);
  for (const manifest::Problem& problem : written.problems) FAIL_CHECK(problem.to_string());
  Folder folder;
  folder.put("m.yaml", written);
  const WaypointConfig config = translate_for_tests(World(folder.settle()), Settings());
  const std::string type(xds::message_of(type_url(EnvoyType::kListener)));
  return xds::to_json(type, config.of(EnvoyType::kListener).at("main_internal"));
}

}  // namespace

TEST_CASE("claims that a rule calls space delimited are lists, as scope and permission are") {
  CHECK(told("  - {issuer: i}\n").contains(R"("spaceDelimitedClaims":["permission","scope"])"));
  // Sorted, and each once; of one rule, not of the other.
  const std::string both = told(
      "  - {issuer: i, spaceDelimitedClaims: [tenants, scope, roles, tenants]}\n"
      "  - {issuer: other}\n");
  CHECK(both.contains(R"("spaceDelimitedClaims":["permission","roles","scope","tenants"])"));
  CHECK(both.contains(R"("spaceDelimitedClaims":["permission","scope"])"));
}

}  // namespace mesh::control
