// Every manifest of docs/waypoint.md, as it stands there: read without a problem, in force, and
// translated without a remark.

#include <fstream>
#include <sstream>

#include <catch2/catch_test_macros.hpp>

#include "control/envoy/translate_for_tests.h"
#include "control/folder.h"
#include "control/status.h"

namespace mesh::control {
namespace {

// What the page takes for granted: the namespace, its services, who is asked and who listens.
constexpr const char* kWorld = R"(
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient, istio.io/use-waypoint: waypoint}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.1.10, selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: web-next, namespace: shop}
spec: {clusterIP: 10.96.1.11, selector: {app: next}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: search, namespace: shop}
spec: {clusterIP: 10.96.1.15, selector: {app: search}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: catalogue, namespace: shop}
spec: {clusterIP: 10.96.1.16, selector: {app: catalogue}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec: {clusterIP: 10.96.1.17, selector: {app: orders}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {clusterIP: 10.96.1.18, selector: {app: cart}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: payments, namespace: shop}
spec: {clusterIP: 10.96.1.19, selector: {app: payments}, ports: [{name: grpc, port: 9000}]}
---
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec: {clusterIP: 10.96.1.20, selector: {app: reviews}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: authz, namespace: infra}
spec: {clusterIP: 10.96.1.12, selector: {app: authz}, ports: [{name: grpc, port: 9000}]}
---
apiVersion: v1
kind: Service
metadata: {name: limits, namespace: infra}
spec: {clusterIP: 10.96.1.16, selector: {app: limits}, ports: [{name: grpc, port: 8081}]}
---
apiVersion: v1
kind: Service
metadata: {name: edit, namespace: infra}
spec: {clusterIP: 10.96.1.17, selector: {app: edit}, ports: [{name: grpc, port: 9000}]}
---
apiVersion: v1
kind: Service
metadata: {name: otel, namespace: obs}
spec:
  clusterIP: 10.96.1.13
  selector: {app: otel}
  ports: [{name: grpc-otlp, port: 4317}, {name: http-otlp, port: 4318}]
---
apiVersion: v1
kind: Service
metadata: {name: waypoint, namespace: shop}
spec: {clusterIP: 10.96.1.14, selector: {gateway: waypoint}, ports: [{name: mesh, port: 15008}]}
---
apiVersion: v1
kind: Pod
metadata: {name: waypoint-0, namespace: shop, labels: {gateway: waypoint}}
spec: {nodeName: n, containers: [{name: main, image: a}]}
status: {phase: Running, podIP: 10.244.0.9, conditions: [{type: Ready, status: "True"}]}
)";

// The indented blocks of the page, in their order.
std::vector<std::string> blocks() {
  std::ifstream page(std::string(DOCS_FOLDER) + "/waypoint.md");
  REQUIRE(page.good());
  std::vector<std::string> found;
  bool inside = false;
  for (std::string line; std::getline(page, line);) {
    const bool indented = line.starts_with("    ");
    if (!indented && !(inside && line.empty())) {
      inside = false;
      continue;
    }
    if (!std::exchange(inside, true)) found.emplace_back();
    found.back() += (indented ? line.substr(4) : line) + "\n";
  }
  return found;
}

struct Page {
  std::string objects = kWorld;
  std::string providers, rest;  // of the mesh's configuration
  std::size_t count = 0;
};

Page read_page() {
  Page page;
  for (const std::string& block : blocks()) {
    if (block.starts_with("apiVersion:")) {
      page.objects += "\n---\n" + block;
      ++page.count;
      continue;
    }
    INFO(block);
    REQUIRE(block.starts_with("extensionProviders:\n"));  // there is no other kind of block
    std::istringstream lines(block.substr(block.find('\n') + 1));
    bool top = false;
    for (std::string line; std::getline(lines, line);) {
      top = !line.starts_with("-") && !line.starts_with(" ") && !line.empty();
      (top ? page.rest : page.providers) += line + "\n";
    }
  }
  return page;
}

TEST_CASE("every manifest of docs/waypoint.md is valid, in force and done") {
  const Page page = read_page();
  CHECK(page.count >= 9);
  const auto mesh = manifest::parse_mesh_config(
      "mesh.yaml", "extensionProviders:\n" + page.providers + page.rest);
  for (const auto& problem : mesh.problems) FAIL_CHECK(problem.to_string());
  CHECK(mesh.config.unusable.empty());
  const manifest::Parsed parsed = manifest::parse("waypoint.md", page.objects);
  for (const auto& problem : parsed.problems) FAIL_CHECK(problem.to_string());
  Folder folder;
  folder.put("waypoint.md", parsed);
  const World world(folder.settle(), std::make_shared<manifest::MeshConfig>(mesh.config));
  const Settings settings;
  for (const ObjectStatus& status : compute_statuses(world, settings)) {
    INFO(status.object.to_string());
    StatusConditions all = status.conditions;
    for (const ParentStatus& parent : status.parents) {
      all.insert(all.end(), parent.conditions.begin(), parent.conditions.end());
    }
    for (const StatusCondition& condition : all) {
      INFO(condition.type << " " << condition.reason << ": " << condition.message);
      CHECK((condition.holds || condition.type == "Programmed"));  // one has no pods here
      CHECK(condition.reason != "PartiallyInvalid");
    }
  }
  const WaypointConfig config = translate_for_tests(world, settings);
  for (const PolicyNote& note : config.notes) {
    FAIL_CHECK(note.object.to_string() + ": " + note.text);
  }
  CHECK(config.of(EnvoyType::kCluster).size() > 8);
}

}  // namespace
}  // namespace mesh::control
