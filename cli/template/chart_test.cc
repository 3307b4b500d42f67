#include "cli/template/chart.h"

#include <catch2/catch_test_macros.hpp>

#include "cli/json.h"

using namespace mesh::cli;
using Json = nlohmann::json;

namespace {

Json values_of(const std::string& assignments) {
  Json values = Json::object();
  const auto done = set_values(values, assignments);
  return done ? values : Json(done.error());
}

std::vector<std::string> names(const std::vector<Json>& objects) {
  std::vector<std::string> list;
  for (const Json& one : objects) {
    list.push_back(text(one, "kind") + " " + text(member(one, "metadata"), "name"));
  }
  return list;
}

}  // namespace

TEST_CASE("Values are set as helm sets them") {
  CHECK(values_of("a.b=1,a.c=x") == Json{{"a", {{"b", 1}, {"c", "x"}}}});
  CHECK(values_of("a[1]=true") == Json{{"a", {nullptr, true}}});
  CHECK(values_of("a[0].b=-5") == Json{{"a", {{{"b", -5}}}}});
  CHECK(values_of(R"(a\.b/c=x\,y)") == Json{{"a.b/c", "x,y"}});
  CHECK(values_of("a=007,b=") == Json{{"a", "007"}, {"b", ""}});
  CHECK(values_of("a") == "\"a\" is not KEY=VALUE");
  CHECK(values_of("a[x]=1").is_string());
  CHECK(values_of("a[100000]=1").is_string());
  CHECK(values_of(".a=1").is_string());
}

TEST_CASE("Maps are merged, null removes, all else replaces") {
  Json base = {{"a", {{"b", 1}, {"c", 2}}}, {"l", {1, 2}}};
  merge_values(base, {{"a", {{"b", nullptr}, {"d", 3}}}, {"l", {9}}});
  CHECK(base == Json{{"a", {{"c", 2}, {"d", 3}}}, {"l", {9}}});
}

TEST_CASE("The weft chart is rendered without Helm") {
  const auto objects = render_chart(embedded_chart("weft"), Json::object(), {.ns = "mesh"});
  REQUIRE(objects);
  const auto list = names(*objects);
  CHECK(list.size() == 19);
  CHECK(list.front() == "NetworkPolicy weft-control");
  CHECK(list.back() == "Deployment weft-control");
  for (const Json& one : *objects) {
    CHECK(text(member(member(one, "metadata"), "labels"), "app.kubernetes.io/instance") == "weft");
  }
}

TEST_CASE("Values that the schema refuses make nothing") {
  const auto slip = render_chart(embedded_chart("weft"), values_of("control.replicsa=2"), {});
  REQUIRE_FALSE(slip);
  CHECK(slip.error() == "these values cannot be:\n  control.replicsa: there is no such value");
  CHECK_FALSE(render_chart(embedded_chart("waypoint"), values_of("name=none"), {}));
  CHECK_FALSE(render_chart(embedded_chart("absent"), Json::object(), {}));
}
