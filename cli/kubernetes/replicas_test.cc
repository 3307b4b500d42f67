#include "cli/kubernetes/replicas.h"

#include <catch2/catch_test_macros.hpp>

#include "cli/kubernetes/fake_server_for_tests.h"

namespace mesh::cli {

using Json = nlohmann::json;

namespace {

constexpr const char* kPodsOfControl =
    "GET /api/v1/namespaces/weft-system/pods?labelSelector=app%3Dweft-control&limit=500";
constexpr const char* kToken = "GET /api/v1/namespaces/weft-system/secrets/weft-debug-token";

Json pod(const char* name, const char* phase) {
  return {{"metadata", {{"name", name}}}, {"status", {{"phase", phase}}}};
}

}  // namespace

TEST_CASE("every replica that runs is asked, with the shared token") {
  FakeServer server;
  Json ending = pod("c", "Running");
  ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z";
  server.answers[kPodsOfControl] = {
      {"kind", "PodList"},
      {"items", {pod("a", "Running"), pod("b", "Pending"), ending, pod("d", "Running")}}};
  server.answers[kToken] = {{"data", {{"token", "c2VjcmV0"}}}};
  std::vector<std::string> pages;
  auto sender = server.cluster();
  Cluster cluster([&](kube::HttpRequest request) { return sender.send(std::move(request)); },
                  "default",
                  [&](const PodPage& page) -> Outcome<HttpAnswer> {
                    pages.push_back(page.pod + page.path + " " + page.bearer_token);
                    if (page.method == HttpMethod::kPost) pages.back() = "POST " + pages.back();
                    return HttpAnswer{.status = 200, .body = "{}"};
                  });
  const auto controls = controls_of_cluster(cluster, "weft-system");
  REQUIRE(controls);
  for (const ControlTarget& one : *controls) CHECK(control_get(one, "/debug/ca"));
  CHECK(control_post(controls->front(), "/debug/ca/rotate"));
  CHECK(pages == std::vector<std::string>{"a/debug/ca secret", "d/debug/ca secret",
                                          "POST a/debug/ca/rotate secret"});
}

TEST_CASE("no replica, no token: said") {
  FakeServer server;
  auto cluster = server.cluster();
  CHECK(controls_of_cluster(cluster, "weft-system").error() ==
        "no weft-control runs in weft-system");
  server.answers[kPodsOfControl] = {{"kind", "PodList"}, {"items", {pod("a", "Running")}}};
  CHECK(controls_of_cluster(cluster, "weft-system").error() ==
        "Secret weft-system/weft-debug-token holds no token yet");
}

}  // namespace mesh::cli
