#include "mesh/policy/catalog.h"

#include <algorithm>
#include <random>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include "test/support/policy_text.h"

namespace mesh::policy {
namespace {

using test::catalog;
using test::policies;

// The policies of a scope, by key.
std::vector<std::string> keys(const PolicyIndex* index) {
  std::vector<std::string> result;
  if (index == nullptr) return result;
  for (const PolicyPtr& one : index->policies()) result.push_back(one->key);
  return result;
}
using Keys = std::vector<std::string>;

TEST_CASE("a catalog keeps policies by scope, and the last one as it was") {
  const Catalog first = catalog(R"(
    app/b: deny all
    app/a: allow all
    root/g: deny global port=1
    app/w: deny workload all
  )");
  CHECK(first.size() == 4);
  CHECK(keys(first.select("app", {}).of_namespace) == Keys{"app/a", "app/b"});
  CHECK(keys(first.select("app", {}).global) == Keys{"root/g"});
  CHECK(first.select("other", {}).of_namespace == nullptr);

  const std::vector<std::string> removed = {"app/b", "root/g", "nobody/knows"};
  const Catalog second = first.with(policies("app/c: deny all"), removed);
  CHECK(keys(second.select("app", {}).of_namespace) == Keys{"app/a", "app/c"});
  CHECK(second.select("app", {}).global == nullptr);
  CHECK(second.find("app/w") != nullptr);
  CHECK(second.find("app/b") == nullptr);

  CHECK(keys(first.select("app", {}).of_namespace) == Keys{"app/a", "app/b"});
}

TEST_CASE("a policy that changes its scope leaves the old one") {
  const Catalog first = catalog("app/p: deny all");
  const Catalog second = first.with(policies("app/p: deny workload all"), {});
  CHECK(second.select("app", {}).of_namespace == nullptr);
  const Catalog third = second.with(policies("app/p: deny global all"), {});
  CHECK(keys(third.select("app", {}).global) == Keys{"app/p"});
  CHECK(third.size() == 1);
}

TEST_CASE("of two policies of one key in one change the last counts, wherever it applies") {
  const Catalog given = catalog("app/p: deny all\napp/p: allow workload all");
  CHECK(given.size() == 1);
  CHECK(given.select("app", {}).of_namespace == nullptr);
  CHECK(given.find("app/p")->action == Action::kAllow);
}

TEST_CASE("an unusable policy of unknown scope denies where its last version applied") {
  PolicyDraft broken = test::draft("app/p: deny all");
  broken.problem = "not a protobuf message";
  broken.scope = -1;
  const std::vector<PolicyPtr> change = {std::make_shared<const Policy>(compile(broken))};

  const Catalog global = catalog("app/p: deny global port=1").with(change, {});
  CHECK(global.select("other", {}).global->unusable() != nullptr);
  const Catalog listed = catalog("app/p: deny workload port=1").with(change, {});
  CHECK(listed.select("app", {}).of_namespace == nullptr);
  CHECK_FALSE(listed.find("app/p")->usable());
  const Catalog fresh = Catalog().with(change, {});
  CHECK(fresh.select("app", {}).of_namespace->unusable() != nullptr);
}

// A policy of random rules from a small world, so that many hold.
PolicyDraft random_draft(std::mt19937& random, int number) {
  const auto pick = [&](unsigned n) { return random() % n; };
  static constexpr std::string_view kFields[] = {
      "ns=web",       "ns=ops,web",        "ns=w*",     "!ns=web",  "ns=*",
      "port=80",      "port=81,82",        "!port=80",  "sa=web/a", "sa=ops/b,web/b",
      "!sa=web/a",    "principal=*/sa/a",  "principal=cluster.local/ns/web/sa/a",
      "!principal=*", "from=10.0.0.0/31",  "at=10.0.0.2/32", "{}"};
  std::string text = "app/p" + std::to_string(number) + (pick(2) == 0 ? ": allow " : ": deny ");
  const unsigned rules = pick(3);
  if (rules == 0 && pick(4) == 0) text += "none";
  for (unsigned r = 0; r < rules + 1 && !text.ends_with("none"); ++r) {
    if (r > 0) text += " | ";
    for (unsigned c = 0; c <= pick(2); ++c) {
      if (c > 0) text += " & ";
      for (unsigned m = 0; m <= pick(2); ++m) {
        if (m > 0) text += " ; ";
        text += kFields[pick(std::size(kFields))];
        if (!text.ends_with("{}") && pick(2) == 0) {
          text += " ";
          text += kFields[pick(std::size(kFields) - 1)];
        }
      }
    }
  }
  return test::draft(text);
}

TEST_CASE("the index finds what a walk over all policies finds") {
  const unsigned seed = GENERATE(11u, 12u, 13u, 14u, 15u);
  INFO("seed " << seed);
  std::mt19937 random(seed);
  std::vector<PolicyPtr> given;
  for (int i = 0; i < 300; ++i) {
    given.push_back(std::make_shared<const Policy>(compile(random_draft(random, i))));
  }
  const PolicyIndex index(given);
  const auto walk = [&](Action action, const Connection& connection) -> const Policy* {
    for (const PolicyPtr& one : index.policies()) {
      if (one->action == action && one->applies_to(connection)) return one.get();
    }
    return nullptr;
  };
  for (const std::string_view who : {"web/a", "web/b", "ops/b", "dev/a", "plaintext"}) {
    for (const std::string_view from : {"10.0.0.1", "10.0.0.9"}) {
      for (const std::string_view port : {"80", "81", "9999"}) {
        const std::string text =
            std::string(who) + " " + std::string(from) + " to " + std::string(port);
        INFO(text);
        const Connection connection = test::connection(text);
        CHECK(index.first_deny(connection) == walk(Action::kDeny, connection));
        CHECK(index.first_allow(connection) == walk(Action::kAllow, connection));
      }
    }
  }
}

}  // namespace
}  // namespace mesh::policy
