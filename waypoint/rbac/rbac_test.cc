#include "waypoint/rbac/rbac.h"

#include <catch2/catch_test_macros.hpp>

#include "waypoint/rbac/test_rules.h"

namespace mesh::waypoint::rbac {
namespace {

using namespace test;
using Action = config::RbacRules::Action;

TEST_CASE("no rules allow; rules nobody can use deny") {
  const World world;
  CHECK(decide(config::RbacFilter{}, world.subject()).enforced.allowed());
  const Outcome unusable = decide(config::RbacFilter{.deny_everything = true}, world.subject());
  CHECK_FALSE(unusable.enforced.allowed());
  CHECK(unusable.enforced.policy() == kUnusable);
  CHECK_FALSE(decide(filter(Action::kAllow, {}), world.subject()).enforced.allowed());
  CHECK(decide(filter(Action::kDeny, {}), world.subject()).enforced.allowed());
}

TEST_CASE("ALLOW needs a match, DENY refuses one, LOG only notes it") {
  const World world;
  const auto matching = policy("p", any(), any());
  const auto other = policy("q", url_path("/other"), any());
  struct Row {
    Action action;
    config::RbacPolicy policy;
    bool allowed;
    const char* name;
    bool log;
  };
  for (const Row& row :
       {Row{Action::kAllow, matching, true, "p", false},
        Row{Action::kAllow, other, false, "", false},
        Row{Action::kDeny, matching, false, "p", false}, Row{Action::kDeny, other, true, "", false},
        Row{Action::kLog, matching, true, "p", true}, Row{Action::kLog, other, true, "", false}}) {
    const auto rules = filter(row.action, {row.policy});
    const Outcome outcome = decide(rules, world.subject());
    CHECK(outcome.enforced.allowed() == row.allowed);
    CHECK(outcome.enforced.policy() == row.name);
    CHECK(outcome.log == row.log);
  }
  CHECK(Verdict(false, {}).detail() == "rbac_access_denied_matched_policy[none]");
  CHECK(Verdict(false, "ns[a]-policy[b]-rule[0]").detail() ==
        "rbac_access_denied_matched_policy[ns[a]-policy[b]-rule[0]]");
}

TEST_CASE("each statement about a request is looked at") {
  World world;
  world.request.headers = {{"x-user", "ann"}};
  world.request.path = "/pre/x?q=1";
  struct Row {
    config::RbacNode node;
    bool holds;
  };
  for (const Row& row : {
           Row{config::RbacNode{}, false},
           Row{any(), true},
           Row{none(any()), false},
           Row{all({}), true},
           Row{either({}), false},
           Row{all({any(), url_path("/no")}), false},
           Row{either({url_path("/no"), any()}), true},
           Row{header(":method", "GET"), true},
           Row{header(":authority", "web"), true},
           Row{header("x-user", "ann"), true},
           Row{header("x-user", "bob"), false},
           Row{none(header("x-user", "bob")), true},
           Row{url_path("/pre/x"), true},
           Row{url_path("/pre"), false},
           Row{path_like("/pre/*"), true},
           Row{path_like("/pre/*/y"), false},
           Row{port(80), true},
           Row{port(81), false},
           Row{port_range(80, 81), true},
           Row{port_range(81, 90), false},
           Row{destination("10.96.0.0/16"), true},
           Row{destination("10.97.0.0/16"), false},
           Row{direct_remote("10.244.0.0/16"), true},
           Row{direct_remote("10.1.0.0/16"), false},
           Row{remote("192.0.2.0/24"), true},
           Row{remote("10.244.0.0/16"), false},
           Row{server_name("a.example"), true},
           Row{caller("spiffe://cluster.local/ns/shop/sa/web"), true},
           Row{caller("spiffe://cluster.local/ns/shop/sa/we"), false},
           Row{caller_regex(".*/ns/shop/.*"), true},
           Row{caller_regex("/ns/shop/"), false},
           Row{authenticated(), true},
           Row{own("spiffe://cluster.local/ns/shop/sa/waypoint"), true},
       }) {
    CHECK(holds(row.node, world.subject()) == row.holds);
  }
}

TEST_CASE("a caller without identity is nobody") {
  World world;
  world.peer = "";
  CHECK_FALSE(holds(authenticated(), world.subject()));
  CHECK_FALSE(holds(caller_regex(".*"), world.subject()));
  CHECK(holds(none(caller_regex(".*")), world.subject()));
}

TEST_CASE("claims are found by path, in lists and in texts") {
  World world;
  const auto claims = http::Value::object(
      {{"iss", http::Value::of_text("https://issuer.example")},
       {"group",
        http::Value::of_list({http::Value::of_text("admin"), http::Value::of_text("dev-1")})},
       {"level", http::Value::of_number(3)},
       {"a", http::Value::object({{"b", http::Value::of_text("x")}})},
       {"flag", http::Value::of_bool(true)}});
  world.metadata = http::Value::object(
      {{"envoy.filters.http.jwt_authn", http::Value::object({{"payload", claims}})}});
  using Kind = config::MetadataMatch::Value::Kind;
  const auto text = [](const char* value) {
    return config::MetadataMatch::Value{.kind = Kind::kString,
                                        .text = config::StringMatch::exact(value)};
  };
  const auto one_of = [](config::MetadataMatch::Value child) {
    return config::MetadataMatch::Value{.kind = Kind::kOneOf, .children = {std::move(child)}};
  };
  CHECK(holds(claim({"iss"}, text("https://issuer.example")), world.subject()));
  CHECK_FALSE(holds(claim({"iss"}, text("other")), world.subject()));
  CHECK(holds(claim({"a", "b"}, text("x")), world.subject()));
  CHECK_FALSE(holds(claim({"a", "c"}, text("x")), world.subject()));
  CHECK(holds(claim({"group"}, one_of(text("admin"))), world.subject()));
  CHECK_FALSE(holds(claim({"group"}, one_of(text("root"))), world.subject()));
  CHECK_FALSE(holds(claim({"group"}, text("admin")), world.subject()));
  CHECK(
      holds(claim({"group"}, {.kind = Kind::kAny, .children = {text("q"), one_of(text("dev-1"))}}),
            world.subject()));
  CHECK(holds(claim({"level"}, {.kind = Kind::kNumber, .number_start = 3}), world.subject()));
  CHECK(holds(claim({"flag"}, {.kind = Kind::kBool, .boolean = true}), world.subject()));
  CHECK(holds(claim({"flag"}, {.kind = Kind::kPresent, .boolean = true}), world.subject()));
  CHECK_FALSE(holds(claim({"none"}, {.kind = Kind::kPresent, .boolean = true}), world.subject()));
  world.metadata = {};
  CHECK_FALSE(holds(claim({"iss"}, text("https://issuer.example")), world.subject()));
}

TEST_CASE("on a connection without requests, a DENY that asks for one denies, an ALLOW does not") {
  World world;
  world.has_request = false;
  for (const auto& node : {header("x-user", "ann"), none(header("x-user", "ann")), url_path("/"),
                           none(url_path("/"))}) {
    CHECK_FALSE(decide(filter(Action::kAllow, {policy("p", node, any())}), world.subject())
                    .enforced.allowed());
    CHECK_FALSE(decide(filter(Action::kDeny, {policy("p", node, any())}), world.subject())
                    .enforced.allowed());
  }
  // What rules it out is known all the same.
  CHECK(decide(filter(Action::kDeny, {policy("p", all({url_path("/"), port(81)}), any())}),
               world.subject())
            .enforced.allowed());
  CHECK(
      decide(filter(Action::kDeny, {policy("p", any(), caller("spiffe://other"))}), world.subject())
          .enforced.allowed());
}

TEST_CASE("a header said twice evades no DENY and earns no ALLOW") {
  World world;
  struct Row {
    std::vector<const char*> values;
    bool denied;   // by DENY of "bad"
    bool allowed;  // by ALLOW of "good"
  };
  for (const Row& row : {Row{{"bad"}, true, false}, Row{{"bad", "x"}, true, false},
                         Row{{"x", "bad"}, true, false}, Row{{"x", "y", "bad", "z"}, true, false},
                         Row{{"good"}, false, true}, Row{{"good", "x"}, false, false},
                         Row{{"x", "good"}, false, false}, Row{{"x", "y"}, false, false}}) {
    world.request.headers.clear();
    for (const char* value : row.values) world.request.headers.push_back({"x-user", value});
    INFO(row.values.size() << " values, " << row.values[0]);
    CHECK(decide(filter(Action::kDeny, {policy("p", header("x-user", "bad"), any())}),
                 world.subject())
              .enforced.allowed() != row.denied);
    CHECK(decide(filter(Action::kAllow, {policy("p", header("x-user", "good"), any())}),
                 world.subject())
              .enforced.allowed() == row.allowed);
    // Nor by asking for the opposite.
    CHECK_FALSE(
        decide(filter(Action::kAllow, {policy("p", none(header("x-user", row.values[0])), any())}),
               world.subject())
            .enforced.allowed());
  }
}

TEST_CASE("shadow rules report and decide nothing") {
  const World world;
  config::RbacFilter shadowed = filter(Action::kAllow, {policy("p", any(), any())});
  shadowed.shadow = filter(Action::kDeny, {policy("dry", any(), any())}).rules;
  const Outcome outcome = decide(shadowed, world.subject());
  CHECK(outcome.enforced.allowed());
  REQUIRE(outcome.shadow);
  CHECK_FALSE(outcome.shadow->allowed());
  CHECK(outcome.shadow->policy() == "dry");
}

TEST_CASE("an explanation agrees with the decision and names what failed") {
  const World world;
  const auto rules =
      filter(Action::kAllow, {policy("a", all({any(), either({header(":method", "PUT")})}), any()),
                              policy("b", any(), caller("spiffe://other"))});
  const Explanation why = explain(rules, world.subject());
  CHECK_FALSE(why.allowed);
  CHECK(why.decided_by == "none");
  CHECK(why.action == "ALLOW");
  REQUIRE(why.policies.size() == 2);
  CHECK(why.policies[0].why == "permission 0 wants: header :method is \"PUT\"");
  CHECK(why.policies[1].why == "principal 0 wants: caller is \"spiffe://other\"");
  const Explanation yes =
      explain(filter(Action::kAllow, {policy("c", any(), any())}), world.subject());
  CHECK(yes.allowed);
  CHECK(yes.decided_by == "c");
  CHECK(yes.policies[0].matches);
}

}  // namespace
}  // namespace mesh::waypoint::rbac
