#include "cli/kubernetes/waypoint.h"

#include <catch2/catch_test_macros.hpp>

#include "cli/kubernetes/fake_server_for_tests.h"
#include "cli/template/yaml.h"

using namespace mesh::cli;
using Json = nlohmann::json;

namespace {

constexpr const char* kPath = "/apis/gateway.networking.k8s.io/v1/namespaces/shop/gateways/way";

Json gateway(const char* class_name) {
  return {{"apiVersion", "gateway.networking.k8s.io/v1"},
          {"kind", "Gateway"},
          {"metadata", {{"name", "way"}, {"namespace", "shop"}}},
          {"spec", {{"gatewayClassName", class_name}}}};
}

std::size_t count(const FakeServer& server, const std::string& method) {
  return static_cast<std::size_t>(std::ranges::count_if(
      server.asked, [&](const std::string& one) { return one.starts_with(method); }));
}

}  // namespace

TEST_CASE("The Gateway of a waypoint, as istioctl writes it") {
  CHECK(to_yaml(waypoint_gateway({.traffic = "all", .revision = "r1"}, "shop")) ==
        "apiVersion: gateway.networking.k8s.io/v1\n"
        "kind: Gateway\n"
        "metadata:\n"
        "  labels:\n"
        "    istio.io/rev: r1\n"
        "    istio.io/waypoint-for: all\n"
        "  name: waypoint\n"
        "  namespace: shop\n"
        "spec:\n"
        "  gatewayClassName: weft-waypoint\n"
        "  listeners:\n"
        "  - name: mesh\n"
        "    port: 15008\n"
        "    protocol: HBONE");
  CHECK_FALSE(waypoint_gateway({}, "")["metadata"].contains("labels"));
}

TEST_CASE("What a Gateway's status says of a waypoint") {
  Json one = gateway("weft-waypoint");
  CHECK(waypoint_state(one).programmed == "Unknown");
  CHECK(waypoint_state(one).revision == "default");
  CHECK(waypoint_state(one).traffic == "service");
  one["status"]["conditions"] = {
      {{"type", "Accepted"}, {"status", "True"}},
      {{"type", "Programmed"}, {"status", "False"}, {"reason", "Pending"}, {"message", "no pod"}}};
  CHECK(waypoint_state(one).programmed == "False");
  CHECK(waypoint_state(one).reason == "Pending");
  CHECK(waypoint_state(one).message == "no pod");
}

TEST_CASE("A namespace keeps the waypoint it has, unless that is to be replaced") {
  FakeServer server;
  server.answers["GET /api/v1/namespaces/shop"] = {
      {"kind", "Namespace"},
      {"metadata", {{"name", "shop"}, {"labels", {{"istio.io/use-waypoint", "old"}}}}}};
  server.answers["PATCH " + std::string(kPath) + "?fieldManager=weft&force=true"] =
      gateway("weft-waypoint");
  server.answers["PATCH /api/v1/namespaces/shop?fieldManager=weft"] = Json::object();
  Cluster cluster = server.cluster();
  const auto kept = apply_waypoint(cluster, "shop", {.name = "way", .enroll_namespace = true});
  REQUIRE_FALSE(kept);
  CHECK(kept.error().find("already has an enrolled waypoint (old)") != std::string::npos);
  CHECK(apply_waypoint(cluster, "shop",
                       {.name = "way", .enroll_namespace = true, .overwrite = true}) == 0);
  CHECK(server.asked.back() ==
        "PATCH /api/v1/namespaces/shop?fieldManager=weft "
        R"({"metadata":{"labels":{"istio.io/use-waypoint":"way"}}})");
}

TEST_CASE("Only waypoints are deleted") {
  FakeServer server;
  Cluster cluster = server.cluster();
  server.answers["GET " + std::string(kPath)] = gateway("nginx");
  CHECK(delete_waypoints(cluster, "shop", {.names = {"way"}}) == kFailed);
  CHECK(count(server, "DELETE") == 0);
  server.answers["GET " + std::string(kPath)] = gateway("istio-waypoint");
  server.answers["DELETE " + std::string(kPath)] = Json::object();
  CHECK(delete_waypoints(cluster, "shop", {.names = {"way"}}) == kOk);
  CHECK(count(server, "DELETE") == 1);
  CHECK_FALSE(delete_waypoints(cluster, "shop", {}));
  CHECK_FALSE(delete_waypoints(cluster, "shop", {.all = true, .names = {"way"}}));
  CHECK(count(server, "DELETE") == 1);
}

TEST_CASE("A waypoint is waited for until a pod of its Deployment is ready") {
  FakeServer server;
  Cluster cluster = server.cluster();
  Json there = gateway("weft-waypoint");
  there["status"]["conditions"] = {{{"type", "Programmed"}, {"status", "True"}}};
  server.answers["GET " + std::string(kPath)] = there;
  server.answers["PATCH " + std::string(kPath) + "?fieldManager=weft&force=true"] = there;
  const WaypointOptions options{
      .name = "way", .wait = true, .timeout = std::chrono::milliseconds(0)};
  CHECK(apply_waypoint(cluster, "shop", options) == kOk);  // somebody runs it otherwise
  Json& deployment = server.answers["GET /apis/apps/v1/namespaces/shop/deployments/way"];
  deployment = {{"status", {{"replicas", 1}}}};
  CHECK(apply_waypoint(cluster, "shop", options) == kTimedOut);
  deployment["status"]["availableReplicas"] = 1;
  CHECK(apply_waypoint(cluster, "shop", options) == kOk);
}
