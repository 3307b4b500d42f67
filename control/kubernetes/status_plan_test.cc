#include "control/kubernetes/status_plan.h"

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "mesh/manifest/json.h"

namespace mesh::control::kubernetes {
namespace {

using manifest::Kind;
using manifest::ObjectKey;
using nlohmann::json;

constexpr const char* kNow = "2026-11-21T17:00:00Z";
const ObjectKey kPolicy{Kind::kAuthorizationPolicy, "shop", "deny"};
const ObjectKey kRoute{Kind::kHttpRoute, "shop", "split"};
const ObjectKey kGateway{Kind::kGateway, "shop", "waypoint"};

manifest::Value object(const json& status, int generation = 3) {
  const json whole = {
      {"metadata", {{"name", "x"}, {"resourceVersion", "41"}, {"generation", generation}}},
      {"status", status}};
  const auto value = manifest::read_json(whole.dump());
  REQUIRE(value);
  return *value;
}

ObjectStatus accepted(const ObjectKey& key, bool holds = true) {
  return {.object = key,
          .generation = 3,
          .conditions = {{"ZtunnelAccepted", holds, "Accepted", "enforced by ztunnel"}}};
}

// The bodies of the writes.
std::vector<json> plan(const std::vector<ObjectStatus>& wanted, const StatusCopies& copies) {
  std::vector<json> bodies;
  for (const Write& write : plan_statuses(wanted, copies, kNow)) {
    CHECK(write.request.target.find("/status?") != std::string::npos);
    bodies.push_back(json::parse(write.request.body));
  }
  return bodies;
}

StatusCopies copies_of(const ObjectKey& key, const json& status, std::string refused = {}) {
  StatusCopies copies;
  copies[key] =
      copy_status(object(status), std::move(refused), "what was good before stays in force");
  return copies;
}

// The status after the server took the patch: its lists replaced.
json applied(json status, const json& patch) {
  status.merge_patch(patch["status"]);
  return status;
}

const json kTheirs = {{"type", "Theirs"}, {"status", "True"}, {"weight", 7}};

}  // namespace

TEST_CASE("a status that is missing is written, guarded, and then never again") {
  const auto first = plan({accepted(kPolicy)}, copies_of(kPolicy, json::object()));
  REQUIRE(first.size() == 1);
  CHECK(first[0]["metadata"]["resourceVersion"] == "41");
  const json& condition = first[0]["status"]["conditions"][0];
  CHECK(condition["type"] == "ZtunnelAccepted");
  CHECK(condition["status"] == "True");
  CHECK(condition["observedGeneration"] == 3);
  CHECK(condition["lastTransitionTime"] == kNow);
  CHECK(plan({accepted(kPolicy)}, copies_of(kPolicy, applied(json::object(), first[0]))).empty());
}

TEST_CASE("what others wrote stays, in any order") {
  const json there = {{"conditions", {kTheirs}}};
  const auto first = plan({accepted(kPolicy)}, copies_of(kPolicy, there));
  REQUIRE(first.size() == 1);
  CHECK(first[0]["status"]["conditions"][0] == kTheirs);
  json after = applied(there, first[0]);
  std::swap(after["conditions"][0], after["conditions"][1]);
  CHECK(plan({accepted(kPolicy)}, copies_of(kPolicy, after)).empty());
}

TEST_CASE("a kind without generations has none observed: a server leaves the zero out") {
  ObjectStatus wanted = accepted(kPolicy);
  wanted.generation = 0;
  const auto first = plan({wanted}, copies_of(kPolicy, json::object()));
  CHECK_FALSE(first[0]["status"]["conditions"][0].contains("observedGeneration"));
}

TEST_CASE("a condition keeps its time until its status changes") {
  const json there = {{"conditions",
                       {{{"type", "ZtunnelAccepted"},
                         {"status", "True"},
                         {"reason", "Old"},
                         {"message", ""},
                         {"observedGeneration", 2},
                         {"lastTransitionTime", "2020-01-01T00:00:00Z"}}}}};
  const auto same = plan({accepted(kPolicy)}, copies_of(kPolicy, there));
  REQUIRE(same.size() == 1);
  CHECK(same[0]["status"]["conditions"][0]["lastTransitionTime"] == "2020-01-01T00:00:00Z");
  const auto other = plan({accepted(kPolicy, false)}, copies_of(kPolicy, there));
  CHECK(other[0]["status"]["conditions"][0]["lastTransitionTime"] == kNow);
}

TEST_CASE("what is not spoken of any more is taken back, and nothing else") {
  const json ours = {{"type", "istio.io/WaypointBound"}, {"status", "True"}};
  const ObjectKey service{Kind::kService, "shop", "web"};
  const auto writes = plan({}, copies_of(service, {{"conditions", {kTheirs, ours}}}));
  REQUIRE(writes.size() == 1);
  CHECK(writes[0]["status"]["conditions"] == json::array({kTheirs}));
  CHECK(plan({}, copies_of(service, {{"conditions", {kTheirs}}})).empty());
  // A Gateway of somebody else's class is somebody else's.
  CHECK(plan({}, copies_of(kGateway, {{"conditions", {{{"type", "Accepted"}}}}})).empty());
}

TEST_CASE("an object that is refused says so, for the generation that was refused") {
  const auto writes =
      plan({accepted(kPolicy)}, copies_of(kPolicy, json::object(), "spec.action: not an action"));
  REQUIRE(writes.size() == 1);
  const json& condition = writes[0]["status"]["conditions"][0];
  CHECK(condition["status"] == "False");
  CHECK(condition["reason"] == "Invalid");
  CHECK(condition["message"].get<std::string>().starts_with("spec.action: not an action"));
  // Even one that never was good, of a kind that says nothing else.
  const ObjectKey rule{Kind::kDestinationRule, "shop", "web"};
  const auto never = plan({}, copies_of(rule, json::object(), "spec: not a map"));
  REQUIRE(never.size() == 1);
  CHECK(never[0]["status"]["conditions"][0]["type"] == "weft.dev/Accepted");
  const auto mended = plan({}, copies_of(rule, applied(json::object(), never[0])));
  REQUIRE(mended.size() == 1);
  CHECK(mended[0]["status"]["conditions"].empty());
}

TEST_CASE("a route's parents are ours and others'") {
  ObjectStatus wanted{.object = kRoute, .generation = 3};
  wanted.parents.push_back(
      {.parent =
           {.group = "", .kind = "Service", .ns = {}, .name = "web", .section = {}, .port = 80},
       .conditions = {{"Accepted", true, "Accepted", "the route is valid"}}});
  const json theirs = {{"controllerName", "example.com/gateway"}, {"parentRef", {{"name", "g"}}}};
  const json there = {{"parents", {theirs}}};
  const auto first = plan({wanted}, copies_of(kRoute, there));
  REQUIRE(first.size() == 1);
  CHECK(first[0]["status"]["parents"][0] == theirs);
  CHECK(first[0]["status"]["parents"][1]["parentRef"] ==
        json{{"group", ""}, {"kind", "Service"}, {"name", "web"}, {"port", 80}});
  CHECK(plan({wanted}, copies_of(kRoute, applied(there, first[0]))).empty());
}

TEST_CASE("a gateway of ours: conditions, listeners, addresses") {
  ObjectStatus wanted{.object = kGateway,
                      .generation = 3,
                      .conditions = {{"Programmed", true, "Programmed", "serving"}}};
  wanted.listeners.push_back(
      {.name = "mesh", .conditions = {{"Accepted", true, "Accepted", "no problems"}}});
  wanted.addresses.push_back({.type = "IPAddress", .value = "10.96.0.7"});
  const auto first = plan({wanted}, copies_of(kGateway, json::object()));
  REQUIRE(first.size() == 1);
  CHECK(first[0]["status"]["listeners"][0]["name"] == "mesh");
  CHECK(first[0]["status"]["addresses"][0]["value"] == "10.96.0.7");
  const json after = applied(json::object(), first[0]);
  CHECK(plan({wanted}, copies_of(kGateway, after)).empty());
  wanted.listeners[0].conditions[0].holds = false;
  const auto second = plan({wanted}, copies_of(kGateway, after));
  REQUIRE(second.size() == 1);
  CHECK(second[0]["status"].contains("listeners"));
  CHECK_FALSE(second[0]["status"].contains("addresses"));
}

TEST_CASE("a status that is not one is replaced, not believed") {
  for (const json& odd : {json("x"), json::array({1}), json{{"conditions", "x"}},
                          json{{"conditions", {1, json::object()}}}}) {
    CHECK(plan({accepted(kPolicy)}, copies_of(kPolicy, odd)).size() == 1);
  }
}

}  // namespace mesh::control::kubernetes
