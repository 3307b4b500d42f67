#include "cli/kubernetes/rollout.h"

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

using namespace mesh::cli;
using Json = nlohmann::json;

namespace {

std::string progress(const char* kind, Json spec, Json status, int generation = 2) {
  const Progress now = progress_of({{"kind", kind},
                                    {"metadata", {{"name", "x"}, {"generation", generation}}},
                                    {"spec", std::move(spec)},
                                    {"status", std::move(status)}});
  return (now.done ? "done: " : "") + now.text;
}

}  // namespace

TEST_CASE("A rollout is done when the new pods are there and the old are gone") {
  const Json two = {{"replicas", 2}};
  CHECK(progress("Deployment", two, {{"observedGeneration", 1}}) ==
        "Deployment x: not looked at yet");
  CHECK(progress("Deployment", two, {{"observedGeneration", 2}, {"updatedReplicas", 1}}) ==
        "Deployment x: 1 of 2 new");
  CHECK(progress("Deployment", two,
                 {{"observedGeneration", 2},
                  {"updatedReplicas", 2},
                  {"replicas", 3},
                  {"availableReplicas", 2}}) == "Deployment x: 2 of 2 ready, 1 old");
  CHECK(progress("Deployment", two,
                 {{"observedGeneration", 2},
                  {"updatedReplicas", 2},
                  {"replicas", 2},
                  {"availableReplicas", 2}}) == "done: Deployment x: 2 ready");
  CHECK(progress("DaemonSet", {},
                 {{"observedGeneration", 2},
                  {"desiredNumberScheduled", 3},
                  {"updatedNumberScheduled", 3},
                  {"numberAvailable", 2}}) == "DaemonSet x: 2 of 3 ready");
}

TEST_CASE("Why a pod does not run") {
  const auto of = [](Json status) { return trouble_of({{"status", std::move(status)}}); };
  CHECK(
      of({{"containerStatuses",
           {{{"name", "c"},
             {"state", {{"waiting", {{"reason", "ErrImagePull"}, {"message", "no such"}}}}}}}}}) ==
      "c: ErrImagePull: no such");
  CHECK(of({{"containerStatuses",
             {{{"name", "c"}, {"state", {{"terminated", {{"exitCode", 1}}}}}}}}}) ==
        "c: exit code 1");
  CHECK(of({{"conditions",
             {{{"type", "PodScheduled"}, {"status", "False"}, {"message", "no nodes"}}}}}) ==
        "PodScheduled: no nodes");
  CHECK(of({{"containerStatuses", {{{"name", "c"}, {"ready", false}}}}}) == "c: not ready");
  CHECK(of({{"phase", "Running"}}) == "");
}
