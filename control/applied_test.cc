#include "control/applied.h"

#include <catch2/catch_test_macros.hpp>

#include "mesh/manifest/parse.h"

namespace mesh::control {
namespace {

using Names = std::vector<std::string>;

struct Node final : Follower {
  Status now;
  explicit Node(std::string name) { now.node = std::move(name); }
  void follow(std::shared_ptr<const Snapshot> snapshot) override { newest = snapshot->version; }
  Status status() const override { return now; }
  void ack() {
    now.acked_version = newest;
    now.current = true;
  }
  std::uint64_t newest = 0;
};

struct Bench {
  Hub hub{Settings{}, 1, [](std::uint64_t) {}};
  std::shared_ptr<Node> one = std::make_shared<Node>("node-1");

  void publish(const std::string& version, const std::string& port = "80") {
    manifest::Parsed parsed = manifest::parse("x.yaml", R"(
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec: {nodeName: node-2}
status: {phase: Running, podIP: 10.0.0.1}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ports, namespace: shop, resourceVersion: ")" +
                                                            version + R"("}
spec: {rules: [{to: [{operation: {ports: [")" + port + R"("]}}]}]}
)");
    REQUIRE_FALSE(parsed.has_errors());
    Objects objects;
    for (auto& object : parsed.objects) {
      auto key = manifest::key_of(object.object);
      objects[key] = std::make_shared<const manifest::Object>(std::move(object.object));
    }
    hub.publish(std::make_shared<const World>(std::move(objects)), {}, true);
  }
  Applied ask(const std::string& version, std::uint64_t snapshot = 0) const {
    return applied(hub, {.kind = "AuthorizationPolicy",
                         .ns = "shop",
                         .name = "ports",
                         .resource_version = version,
                         .version = snapshot});
  }
};

}  // namespace

TEST_CASE("a change is applied when every node with a stream has acknowledged its snapshot") {
  Bench bench;
  CHECK_FALSE(bench.ask("41").known);
  bench.publish("41");
  bench.hub.add(bench.one);
  CHECK_FALSE(bench.ask("42").known);
  auto answer = bench.ask("41");
  CHECK(answer.known);
  CHECK(answer.pending == Names{"node-1"});
  CHECK(answer.absent == Names{"node-2"});
  bench.one->ack();
  answer = bench.ask("41");
  CHECK(answer.pending.empty());
  CHECK(answer.current == Names{"node-1"});
  // Versions are numbers: what is newer has what is older in it.
  CHECK(bench.ask("9").known);
}

TEST_CASE("who waits for a snapshot does not wait for later ones") {
  Bench bench;
  bench.hub.add(bench.one);
  bench.publish("41");
  const auto first = bench.ask("41");
  bench.one->ack();
  bench.publish("42", "81");
  CHECK(bench.ask("41", first.version).pending.empty());
  CHECK(bench.ask("42").pending == Names{"node-1"});
}

TEST_CASE("a waypoint that is ready and has no stream is absent, one with a stream is waited for") {
  struct Waypoints final : Follower {
    std::vector<Status> all;
    void follow(std::shared_ptr<const Snapshot>) override {}
    Status status() const override { return {}; }
    std::vector<Status> proxies() const override { return all; }
  };
  Hub hub{Settings{}, 1, [](std::uint64_t) {}};
  manifest::Parsed parsed = manifest::parse("x.yaml", R"(
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: w, namespace: shop, resourceVersion: "7"}
spec: {gatewayClassName: weft-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: v1
kind: Pod
metadata: {name: w-1, namespace: shop, labels: {gateway.networking.k8s.io/gateway-name: w}}
status: {phase: Running, podIP: 10.0.0.1, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: w-2, namespace: shop, labels: {gateway.networking.k8s.io/gateway-name: w}}
status: {phase: Running, podIP: 10.0.0.2, conditions: [{type: Ready, status: "False"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: other, namespace: shop, labels: {gateway.networking.k8s.io/gateway-name: none}}
status: {phase: Running, podIP: 10.0.0.3, conditions: [{type: Ready, status: "True"}]}
)");
  REQUIRE_FALSE(parsed.has_errors());
  Objects objects;
  for (auto& object : parsed.objects) {
    auto key = manifest::key_of(object.object);
    objects[key] = std::make_shared<const manifest::Object>(std::move(object.object));
  }
  hub.publish(std::make_shared<const World>(std::move(objects)), {}, true);
  const auto ask = [&] {
    return applied(hub, {.kind = "Gateway", .ns = "shop", .name = "w", .resource_version = "7"});
  };
  CHECK(ask().absent == Names{"waypoint shop/w-1"});
  const auto streams = std::make_shared<Waypoints>();
  streams->all.emplace_back().node = "waypoint shop/w-1";
  hub.add(streams);
  CHECK(ask().absent.empty());
  CHECK(ask().pending == Names{"waypoint shop/w-1"});
  streams->all[0].acked_version = ask().version;
  CHECK(ask().current == Names{"waypoint shop/w-1"});
}

TEST_CASE("an object that is gone is applied when it is in the snapshot no more") {
  Bench bench;
  bench.publish("41");
  CHECK_FALSE(bench.ask("").known);
  bench.hub.publish(std::make_shared<const World>(), {}, true);
  CHECK(bench.ask("").known);
  CHECK_FALSE(bench.ask("41").known);
}

TEST_CASE("an object that our readers refuse is said to be, and a kind that nobody reads") {
  Bench bench;
  bench.publish("41");
  bench.hub.publish(bench.hub.snapshot()->world,
                    {{manifest::Severity::kError, "kubernetes", 0, "AuthorizationPolicy shop/ports",
                      "spec.action", "not an action"}},
                    true);
  CHECK(bench.ask("42").refused == "spec.action: not an action");
  CHECK(bench.ask("").refused.empty());
  CHECK_FALSE(
      applied(bench.hub, {.kind = "Deployment", .ns = {}, .name = "x", .resource_version = {}})
          .is_kind);
}

TEST_CASE("what is wrong with one version of an object says nothing about a later one") {
  Bench bench;
  bench.publish("41");
  manifest::Problem problem{manifest::Severity::kError,       "kubernetes",  0,
                            "AuthorizationPolicy shop/ports", "spec.action", "not an action"};
  problem.in_force = "what was good before stays in force";
  problem.version = "42";
  bench.hub.publish(bench.hub.snapshot()->world, {problem}, true);
  CHECK(bench.ask("42").refused ==
        "spec.action: not an action; what was good before stays in force");
  CHECK(bench.ask("41").refused == bench.ask("42").refused);
  CHECK(bench.ask("43").refused.empty());
  CHECK_FALSE(bench.ask("43").known);
}

TEST_CASE("the ConfigMap with the mesh's configuration is known by the version that was taken in") {
  Bench bench;
  bench.publish("41");
  const auto ask = [&](const std::string& version, std::optional<std::string> there,
                       const std::string& name = "istio") {
    return applied(
        bench.hub,
        {.kind = "ConfigMap", .ns = "weft-system", .name = name, .resource_version = version},
        MeshMapVersion{.name = "weft-system/istio", .version = std::move(there)});
  };
  CHECK(ask("7", "7").known);
  CHECK(ask("7", "8").known);
  CHECK_FALSE(ask("8", "7").known);
  CHECK_FALSE(ask("8", std::nullopt).known);
  CHECK_FALSE(ask("8", "").known);
  CHECK(ask("", "").known);
  CHECK_FALSE(ask("", "7").known);
  CHECK(ask("7", "7").absent == Names{"node-2"});
  CHECK_FALSE(ask("7", "7", "other").is_kind);
  CHECK_FALSE(
      applied(bench.hub, {.kind = "ConfigMap", .ns = "a", .name = "b", .resource_version = {}})
          .is_kind);
  manifest::Problem problem;
  problem.object = manifest::kMeshConfigObject;
  problem.message = "wrong";
  bench.hub.publish(bench.hub.snapshot()->world, {problem}, true);
  CHECK(ask("7", "7").refused == "wrong");
  CHECK(ask("8", "7").refused.empty());
}

}  // namespace mesh::control
