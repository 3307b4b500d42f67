#include "control/mesh_state.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::control {
namespace {

constexpr const char* kGood =
    "extensionProviders: [{name: one, envoyExtAuthzGrpc: {service: a.b.svc.cluster.local, port: "
    "9000}}]";
constexpr const char* kOther = "defaultProviders: {tracing: [otel]}";
constexpr const char* kBroken = "extensionProviders: text";

bool says(const MeshState& state, std::string_view what) {
  for (const auto& problem : state.problems()) {
    if (problem.to_string().contains(what)) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("the last good mesh configuration stays in force, and what is wrong is said") {
  MeshState state("ConfigMap a/istio");
  CHECK_FALSE(state.is_known());
  REQUIRE(state.put(kGood));
  CHECK(state.is_known());
  CHECK(state.problems().empty());
  const auto good = state.in_force();
  REQUIRE(good->authorizer("one") != nullptr);
  CHECK_FALSE(state.put(kGood));
  CHECK(state.in_force() == good);

  CHECK(state.put(kBroken));
  CHECK(state.in_force() == good);
  CHECK(says(state, "ConfigMap a/istio"));
  CHECK(says(state, "what was good before stays in force"));
  CHECK_FALSE(state.put(kBroken));
  CHECK(state.put(kGood));
  CHECK(state.in_force() == good);
  CHECK(state.problems().empty());

  CHECK(state.put(kOther));
  CHECK(state.in_force()->authorizer("one") == nullptr);
  CHECK(state.in_force()->default_tracing.size() == 1);
  CHECK(state.remove());
  REQUIRE(state.in_force() != nullptr);
  CHECK(state.in_force()->default_tracing.empty());
}

TEST_CASE("of a mesh configuration that never was good nothing is in force") {
  MeshState state("mesh.yaml");
  CHECK(state.put(kBroken));
  CHECK(state.is_known());
  CHECK(state.in_force() == nullptr);
  CHECK(says(state, "never good here"));
}

TEST_CASE("a mesh configuration that cannot be read is not taken for one that is gone") {
  MeshState state("mesh.yaml");
  CHECK(state.fail("no"));
  CHECK_FALSE(state.is_known());
  CHECK_FALSE(state.fail("no"));
  REQUIRE(state.put(kGood));
  const auto good = state.in_force();
  CHECK(state.fail("no"));
  CHECK(state.in_force() == good);
  CHECK(says(state, "mesh.yaml: MeshConfig: no"));
}

}  // namespace mesh::control
