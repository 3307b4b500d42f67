#include "mesh/workload/policy_order.h"

#include <catch2/catch_test_macros.hpp>

#include "test/support/directory_text.h"

namespace mesh::workload {
namespace {

using namespace std::chrono_literals;
using Names = std::vector<std::string>;

constexpr const char* kWeb = "K//Pod/shop/web";

// A control plane that says one thing at a time.
struct Story {
  Story() {
    Delta first;
    first.addresses_complete = true;
    first.policies_complete = true;
    say(first);
  }
  void say(const Delta& delta) { order.take(delta, ++said, now); }
  void pods(std::string_view text) {
    Delta delta;
    delta.workloads = test::delta(text).workloads;
    say(delta);
  }
  void policies(std::string_view text) {
    Delta delta;
    delta.policies = policy::test::policies(text);
    say(delta);
  }
  void remove_policy(const char* key) {
    Delta delta;
    delta.removed_policies = {key};
    say(delta);
  }
  const Workload& web() const { return *order.directory()->find_workload(kWeb); }
  const Names& listed() const { return web().authorization_policies; }
  // Who decides on a connection to web's port 80, and how.
  std::string verdict() const {
    const auto connection = policy::test::connection("plaintext to 80");
    const auto verdict = policy::authorize(order.directory()->policies_for(web()), connection);
    return (verdict.allowed() ? "yes: " : "no: ") + std::string(verdict.decided_by());
  }
  bool all_in_force() const { return order.in_force() == said && !order.deadline(); }

  PolicyOrder order;
  std::uint64_t said = 0;
  PolicyOrder::Time now = 1h;
};

TEST_CASE("a workload that newly lists a policy is judged as before until the policy has come") {
  Story story;
  story.pods("pod shop/web 10.0.0.1 hbone");
  REQUIRE(story.all_in_force());
  const auto before = story.said;

  story.pods("pod shop/web 10.0.0.2 hbone policies=shop/a");
  CHECK(story.verdict() == "yes: (no policy applies here)");
  CHECK(story.web().has_address(policy::test::ip("10.0.0.2")));  // the rest is taken
  CHECK(story.order.in_force() == before);
  CHECK(story.order.deadline() == story.now + kPolicyWait);

  // What has nothing to do with it does not end the wait, and is not in force before it.
  story.policies("shop/other: allow workload all");
  CHECK(story.verdict() == "yes: (no policy applies here)");
  CHECK(story.order.in_force() == before);

  story.policies("shop/a: deny workload port=80");
  CHECK(story.verdict() == "no: shop/a");
  CHECK(story.all_in_force());
}

TEST_CASE("a policy that does not come in time denies whoever lists it, by its name") {
  Story story;
  story.pods("pod shop/web 10.0.0.1 hbone");
  story.pods("pod shop/web 10.0.0.1 hbone policies=shop/a");
  story.now += kPolicyWait - 1ms;
  CHECK(story.order.expire(story.now).empty());
  CHECK(story.verdict() == "yes: (no policy applies here)");
  // Said again, it does not wait anew.
  story.pods("pod shop/web 10.0.0.3 hbone policies=shop/a");
  story.now += 1ms;
  CHECK(story.order.expire(story.now) == Names{kWeb});
  CHECK(story.verdict() == "no: shop/a");
  CHECK(story.all_in_force());
  // It is denied already: whatever else it lists has nothing to wait for.
  story.pods("pod shop/web 10.0.0.3 hbone policies=shop/a,shop/b");
  CHECK(story.all_in_force());
  story.policies("shop/a: allow workload all\nshop/b: allow workload all");
  CHECK(story.verdict() == "yes: shop/a");
}

TEST_CASE("a new workload whose policies have not come is there, awaited, and denied till then") {
  Story story;
  story.pods("pod shop/web 10.0.0.1 hbone policies=shop/a");
  CHECK(story.web().policies_awaited);
  CHECK(story.verdict() == "no: shop/a");
  CHECK(story.order.in_force() == story.said - 1);
  SECTION("they come") {
    story.policies("shop/a: allow workload all");
    CHECK_FALSE(story.web().policies_awaited);
    CHECK(story.verdict() == "yes: shop/a");
  }
  SECTION("they do not") {
    story.order.expire(story.now + kPolicyWait);
    CHECK_FALSE(story.web().policies_awaited);
    CHECK(story.verdict() == "no: shop/a");
  }
  SECTION("it changes meanwhile") {
    story.pods("pod shop/web 10.0.0.1 hbone policies=shop/a,shop/b");
    CHECK(story.web().policies_awaited);
    story.pods("pod shop/web 10.0.0.1 hbone");
    CHECK_FALSE(story.web().policies_awaited);
    CHECK(story.verdict() == "yes: (no policy applies here)");
  }
  SECTION("it goes") {
    Delta gone;
    gone.removed = {kWeb};
    story.say(gone);
    CHECK(story.order.directory()->find_workload(kWeb) == nullptr);
  }
  CHECK(story.all_in_force());
}

TEST_CASE("a policy that is not understood has come: it denies") {
  Story story;
  story.pods("pod shop/web 10.0.0.1 hbone");
  story.pods("pod shop/web 10.0.0.1 hbone policies=shop/a");
  auto unusable = std::make_shared<policy::Policy>();
  unusable->key = "shop/a";
  unusable->ns = "shop";
  unusable->name = "a";
  unusable->scope = policy::Scope::kWorkload;
  unusable->problem = "rules[0]: port 70000";
  Delta delta;
  delta.policies = {unusable};
  story.say(delta);
  CHECK(story.verdict() == "no: shop/a");
  CHECK(story.all_in_force());
}

TEST_CASE("a removed policy stays while a workload lists it") {
  Story story;
  story.policies("shop/a: deny workload port=80");
  story.pods(
      "pod shop/web 10.0.0.1 hbone policies=shop/a\npod shop/cart 10.0.0.2 hbone policies=shop/a");
  story.remove_policy("shop/a");
  const auto before = story.said - 1;
  CHECK(story.verdict() == "no: shop/a");
  CHECK(story.order.directory()->policies().size() == 1);
  CHECK(story.order.in_force() == before);
  SECTION("until nobody does") {
    story.pods("pod shop/web 10.0.0.1 hbone");
    CHECK(story.verdict() == "yes: (no policy applies here)");
    CHECK(story.order.directory()->policies().size() == 1);
    story.pods("pod shop/cart 10.0.0.2 hbone");
    CHECK(story.order.directory()->policies().size() == 0);
  }
  SECTION("until it is sent again") {
    story.policies("shop/a: deny workload port=81");
    CHECK(story.verdict() == "yes: (no policy applies here)");
    CHECK(story.order.directory()->policies().size() == 1);
  }
  SECTION("until the workload goes") {
    Delta gone;
    gone.removed = {kWeb, "K//Pod/shop/cart"};
    story.say(gone);
    CHECK(story.order.directory()->policies().size() == 0);
  }
  SECTION("but not for ever: then who lists it is denied") {
    CHECK(story.order.expire(story.now + kPolicyWait) == Names{"shop/a"});
    CHECK(story.order.directory()->policies().size() == 0);
    CHECK(story.verdict() == "no: shop/a");
  }
  CHECK(story.all_in_force());
}

TEST_CASE("one policy in place of another: never both missing, never neither") {
  Story story;
  story.policies("shop/a: deny workload port=80");
  story.pods("pod shop/web 10.0.0.1 hbone policies=shop/a");
  SECTION("the workload first") {
    story.pods("pod shop/web 10.0.0.1 hbone policies=shop/b");
    CHECK(story.listed() == Names{"shop/a"});
    story.remove_policy("shop/a");
    CHECK(story.verdict() == "no: shop/a");
    story.policies("shop/b: deny workload port=80");
  }
  SECTION("the removal first") {
    story.remove_policy("shop/a");
    story.pods("pod shop/web 10.0.0.1 hbone policies=shop/b");
    CHECK(story.verdict() == "no: shop/a");
    story.policies("shop/b: deny workload port=80");
  }
  CHECK(story.verdict() == "no: shop/b");
  CHECK(story.order.directory()->policies().size() == 1);
  CHECK(story.all_in_force());
}

TEST_CASE("a policy that grows to its namespace is not lost on the way") {
  Story story;
  story.policies("shop/a: deny workload port=80");
  story.pods("pod shop/web 10.0.0.1 hbone policies=shop/a");
  story.pods("pod shop/web 10.0.0.9 hbone");
  CHECK(story.verdict() == "no: shop/a");
  CHECK(story.order.deadline() == story.now + kUnlistWait);
  SECTION("the policy follows") {
    story.policies("shop/a: deny port=80");
    CHECK(story.listed().empty());
    CHECK(story.verdict() == "no: shop/a");
  }
  SECTION("nothing follows: it was the workload that changed") {
    CHECK(story.order.expire(story.now + kUnlistWait).empty());
    CHECK(story.verdict() == "yes: (no policy applies here)");
  }
  CHECK(story.all_in_force());
}

TEST_CASE("a rejected update of a workload that waits leaves the last good version in force") {
  Story story;
  story.pods("pod shop/web 10.0.0.1 hbone");
  story.pods("pod shop/web 10.0.0.2 hbone policies=shop/a");
  Delta bad;
  bad.rejected = {std::make_shared<const Refused>(
      Refused{.resource = kWeb,
              .problem = "tunnel_protocol: 7",
              .addresses = {{.network = "", .ip = policy::test::ip("10.0.0.7")}},
              .vips = {}})};
  story.say(bad);
  CHECK(story.listed() == Names{"shop/a"});
  CHECK(story.order.directory()->find({"", policy::test::ip("10.0.0.7")}, {}).what ==
        Found::What::kRefused);
  CHECK(story.order.directory()->rejected_count() > 0);
  CHECK(story.all_in_force());
}

TEST_CASE("before policies are complete nothing waits: nothing is decided yet") {
  PolicyOrder order;
  Delta addresses;
  addresses.workloads = test::delta("pod shop/web 10.0.0.1 hbone policies=shop/a").workloads;
  addresses.addresses_complete = true;
  order.take(addresses, 1, 0s);
  CHECK_FALSE(order.deadline());
  CHECK(order.in_force() == 1);
  CHECK_FALSE(order.directory()->find_workload(kWeb)->policies_awaited);
}

}  // namespace
}  // namespace mesh::workload
