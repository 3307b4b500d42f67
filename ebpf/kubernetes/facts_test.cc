#include "ebpf/kubernetes/facts.h"

#include <catch2/catch_test_macros.hpp>

#include "ebpf/kubernetes/api_watch.h"
#include "mesh/manifest/json.h"

namespace mesh::ebpf {
namespace {

manifest::Value value_of(std::string_view text) {
  auto value = manifest::read_json(text);
  REQUIRE(value);
  return *std::move(value);
}

TEST_CASE("facts: a pod as an API server sends it") {
  const auto pod = read_pod(value_of(R"({"metadata":{"name":"web-0","namespace":"shop","uid":"u1",
    "labels":{"istio.io/dataplane-mode":"ambient"},
    "annotations":{"ambient.istio.io/redirection":"enabled"}},
    "spec":{"serviceAccountName":"web","nodeName":"n1","containers":[{"name":"c","image":"i"}]},
    "status":{"phase":"Running","podIP":"10.0.0.5","podIPs":[{"ip":"10.0.0.5"},
      {"ip":"fd00::5"}]}})"));
  REQUIRE(pod);
  CHECK(pod->uid == "u1");
  CHECK(pod->ns == "shop");
  CHECK(pod->service_account == "web");
  CHECK(pod->ips.size() == 2);
  CHECK(pod->mode == DataplaneMode::kAmbient);
  CHECK(pod->annotated);
  CHECK(!pod->host_network);
  CHECK(!pod->finished);
}

TEST_CASE("facts: host network, sidecars and the end of a pod") {
  const auto pod = read_pod(value_of(R"({"metadata":{"name":"x","namespace":"shop","uid":"u1",
    "annotations":{"sidecar.istio.io/status":"{}"}},
    "spec":{"hostNetwork":true,"containers":[]},"status":{"phase":"Succeeded"}})"));
  REQUIRE(pod);
  CHECK(pod->host_network);
  CHECK(pod->sidecar);
  CHECK(pod->finished);
  CHECK(pod->service_account == "default");
  CHECK(!read_pod(value_of(R"({"metadata":{"name":"x","namespace":"shop"}})")));  // no uid
  CHECK(!read_pod(value_of("[]")));
}

TEST_CASE(
    "facts: a pod's label wins over its namespace's, and a word we do not know counts for "
    "nothing") {
  constexpr auto kUnset = DataplaneMode::kUnset, kAmbient = DataplaneMode::kAmbient,
                 kNone = DataplaneMode::kNone;
  const struct {
    DataplaneMode pod, ns;
    bool belongs;
  } rows[] = {{kUnset, kUnset, false},  {kUnset, kAmbient, true},  {kUnset, kNone, false},
              {kAmbient, kUnset, true}, {kAmbient, kNone, true},   {kNone, kAmbient, false},
              {kNone, kUnset, false},   {kAmbient, kAmbient, true}};
  for (const auto& row : rows) {
    PodFacts pod{.ns = "shop", .mode = row.pod};
    CHECK(belongs_into_mesh(pod, row.ns, {}) == row.belongs);
    const std::string excluded[] = {"shop"};
    CHECK(!belongs_into_mesh(pod, row.ns, excluded));
    pod.host_network = true;
    CHECK(!belongs_into_mesh(pod, row.ns, {}));
  }
  const auto read = [](std::string_view labels) {
    return read_namespace(
               value_of(R"({"metadata":{"name":"shop","labels":{)" + std::string(labels) + "}}}"))
        ->mode;
  };
  CHECK(read(R"("istio.io/dataplane-mode":"ambient")") == kAmbient);
  CHECK(read(R"("weft.dev/dataplane-mode":"ambient")") == kAmbient);
  CHECK(read(R"("istio.io/dataplane-mode":"none","weft.dev/dataplane-mode":"ambient")") == kNone);
  CHECK(read(R"("istio.io/dataplane-mode":"Ambient")") == kUnset);
  CHECK(read("") == kUnset);
}

TEST_CASE("api writes: an annotation is for this pod only; an event names it") {
  PodFacts pod{.uid = "u1", .name = "web", .ns = "shop"};
  CHECK(annotation_patch(pod, true) ==
        R"({"metadata":{"annotations":{"ambient.istio.io/redirection":"enabled"},"uid":"u1"}})");
  CHECK(annotation_patch(pod, false) ==
        R"({"metadata":{"annotations":{"ambient.istio.io/redirection":null},"uid":"u1"}})");
  const std::string event =
      event_body(pod, "n1", "WaitingForZtunnel", std::string(5000, 'x'), "2026-01-01T00:00:00Z");
  CHECK(event.find(R"("reason":"WaitingForZtunnel")") != std::string::npos);
  CHECK(event.find(R"("uid":"u1")") != std::string::npos);
  CHECK(event.size() < 1600);
}

}  // namespace
}  // namespace mesh::ebpf
