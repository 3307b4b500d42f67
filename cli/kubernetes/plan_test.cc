#include "cli/kubernetes/plan.h"

#include <catch2/catch_test_macros.hpp>

#include "cli/kubernetes/fake_server_for_tests.h"

using namespace mesh::cli;
using Json = nlohmann::json;

namespace {

Json object(const char* kind, const char* ns, const char* name, Json more = Json::object()) {
  Json made = {{"apiVersion", "v1"}, {"kind", kind}, {"metadata", {{"name", name}}}};
  if (*ns != 0) made["metadata"]["namespace"] = ns;
  made.update(more);
  return made;
}

std::string applied(const std::string& path) {
  return "PATCH " + path + "?fieldManager=weft&force=false&dryRun=All";
}

}  // namespace

TEST_CASE("A plan says what is created, changed, kept and removed") {
  FakeServer server;
  const std::string maps = "/api/v1/namespaces/mesh/configmaps/";
  const Json same = object("ConfigMap", "mesh", "same", {{"data", {{"a", "1"}}}});
  const Json now = object("ConfigMap", "mesh", "changed", {{"data", {{"a", "2"}}}});
  server.answers["GET " + maps + "same"] = same;
  server.answers[applied(maps + "same")] = same;
  server.answers["GET " + maps + "changed"] =
      object("ConfigMap", "mesh", "changed", {{"data", {{"a", "1"}}}});
  server.answers[applied(maps + "changed")] = now;
  server.answers[applied(maps + "new")] = object("ConfigMap", "mesh", "new");
  server.answers["GET /api/v1/configmaps?labelSelector=r%3Dx&limit=500"] = {
      {"kind", "ConfigMapList"},
      {"apiVersion", "v1"},
      {"items", {same, object("ConfigMap", "mesh", "gone")}}};
  Cluster cluster = server.cluster();
  const auto plan = plan_of(cluster, {same, now, object("ConfigMap", "mesh", "new")}, "r=x", false);
  REQUIRE(plan);
  CHECK(plan->table() ==
        "ACTION  KIND       NAMESPACE  NAME\n"
        "keep    ConfigMap  mesh       same\n"
        "change  ConfigMap  mesh       changed\n"
        "create  ConfigMap  mesh       new\n"
        "remove  ConfigMap  mesh       gone\n");
  CHECK(plan->changes() == 3);
}

TEST_CASE("Nothing is tried in a namespace that is to be created first") {
  FakeServer server;
  server.answers[applied("/api/v1/namespaces/mesh")] = object("Namespace", "", "mesh");
  Cluster cluster = server.cluster();
  const auto plan = plan_of(
      cluster, {object("Namespace", "", "mesh"), object("ConfigMap", "mesh", "a")}, "r=x", false);
  REQUIRE(plan);
  CHECK(plan->changes() == 2);
}

TEST_CASE("What the server would refuse is known before anything is done") {
  FakeServer server;
  server.refuse(applied("/api/v1/namespaces/mesh/configmaps/a"), 409, "conflict with \"kubectl\"");
  Cluster cluster = server.cluster();
  const auto plan = plan_of(cluster, {object("ConfigMap", "mesh", "a")}, "r=x", false);
  REQUIRE_FALSE(plan);
  CHECK(plan.error() == "apply ConfigMap mesh/a: 409 conflict with \"kubectl\"");
}

TEST_CASE("What the server keeps account by is no difference") {
  const Json one = {{"metadata", {{"name", "a"}, {"resourceVersion", "1"}, {"managedFields", 1}}},
                    {"status", {{"x", 1}}}};
  CHECK_FALSE(differs(one, {{"metadata", {{"name", "a"}, {"resourceVersion", "2"}}}}));
  CHECK(differs(one, {{"metadata", {{"name", "a"}, {"labels", {{"x", "y"}}}}}}));
}
