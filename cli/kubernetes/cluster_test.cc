#include "cli/kubernetes/cluster.h"

#include <catch2/catch_test_macros.hpp>

#include "cli/kubernetes/fake_server_for_tests.h"

using namespace mesh::cli;
using Json = nlohmann::json;

TEST_CASE("What is not there is null, what is refused is a sentence") {
  FakeServer server;
  server.refuse("GET /api/v1/nodes/a", 403, "nodes is forbidden");
  Cluster cluster = server.cluster();
  CHECK(cluster.get("/api/v1/nodes/b")->is_null());
  CHECK(cluster.get("/api/v1/nodes/a").error() == "GET /api/v1/nodes/a: 403 nodes is forbidden");
}

TEST_CASE("A server that is busy is asked again when it says, and not for ever") {
  unsigned busy = 0;  // answers to come
  std::optional<std::uint32_t> when;
  std::vector<std::chrono::seconds> pauses;
  Cluster cluster(Cluster::patient(
      [&](const mesh::kube::HttpRequest&) -> std::expected<std::string, mesh::kube::Status> {
        if (busy == 0) return "{}";
        --busy;
        return std::unexpected(mesh::kube::Status{.code = 429,
                                                  .reason = "TooManyRequests",
                                                  .message = "storage is (re)initializing",
                                                  .retry_after_seconds = when});
      },
      [&](std::chrono::seconds time) { pauses.push_back(time); }));
  busy = 2;
  CHECK(cluster.get("/x")->is_object());
  CHECK(pauses == std::vector<std::chrono::seconds>(2, std::chrono::seconds(1)));
  pauses.clear();
  busy = 100;
  when = 20;
  CHECK(cluster.get("/x").error() == "GET /x: 429 TooManyRequests: storage is (re)initializing");
  CHECK(pauses == std::vector{std::chrono::seconds(20), std::chrono::seconds(10)});
}

TEST_CASE("Lists are read page by page, and their items say what they are") {
  FakeServer server;
  server.answers["GET /api/v1/pods?limit=500"] = {{"kind", "PodList"},
                                                  {"apiVersion", "v1"},
                                                  {"metadata", {{"continue", "next"}}},
                                                  {"items", {{{"metadata", {{"name", "a"}}}}}}};
  server.answers["GET /api/v1/pods?limit=500&continue=next"] = {
      {"kind", "PodList"}, {"apiVersion", "v1"}, {"items", {{{"metadata", {{"name", "b"}}}}}}};
  const auto pods = server.cluster().list("/api/v1/pods");
  REQUIRE(pods);
  REQUIRE(pods->size() == 2);
  CHECK(object_name((*pods)[1]) == "Pod b");
  CHECK(server.cluster().list("/apis/absent/v1/things")->empty());
}

TEST_CASE("Where an object goes is asked of the server") {
  FakeServer server;
  Cluster cluster = server.cluster();
  const auto in_default =
      cluster.target_of({{"apiVersion", "v1"}, {"kind", "Pod"}, {"metadata", {{"name", "a"}}}});
  REQUIRE(in_default);
  CHECK(in_default->to_string() == "pods default/a");
  const auto without = cluster.target_of({{"apiVersion", "gateway.networking.k8s.io/v1"},
                                          {"kind", "GatewayClass"},
                                          {"metadata", {{"name", "a"}, {"namespace", "x"}}}});
  REQUIRE(without);
  CHECK(without->to_string() == "gatewayclasses.gateway.networking.k8s.io a");
  CHECK(cluster.target_of({{"apiVersion", "x/v1"}, {"kind", "Y"}}).error() ==
        "this cluster has no Y of x/v1");
}
