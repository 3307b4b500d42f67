#include "control/trust_domains.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::control {
namespace {

using Principals = std::vector<std::string>;

Principals under(const Settings& settings, Principals principals) {
  manifest::AuthorizationPolicy policy;
  policy.rules.emplace_back().from.emplace_back().principals = principals;
  policy.rules[0].from[0].not_principals = principals;
  policy.rules[0].when = {{"source.principal", principals, principals},
                          {"source.namespace", principals, {}}};
  const auto all = under_all_names(policy, settings);
  const auto& source = all.rules[0].from[0];
  CHECK(source.not_principals == source.principals);
  CHECK(all.rules[0].when[0].values == source.principals);
  CHECK(all.rules[0].when[0].not_values == source.principals);
  CHECK(all.rules[0].when[1].values == principals);  // not about principals
  return source.principals;
}

}  // namespace

TEST_CASE("a principal of a trust domain of ours stands under each of its names") {
  const Settings renamed{.trust_domain = "new.example",
                         .trust_domain_aliases = {"old.example", "older.example", "old.example"}};
  struct Row {
    const char* written;
    Principals meant;
  };
  const Row rows[] = {
      {"old.example/ns/shop/sa/web",
       {"new.example/ns/shop/sa/web", "old.example/ns/shop/sa/web",
        "older.example/ns/shop/sa/web"}},
      {"new.example/ns/shop/*",
       {"new.example/ns/shop/*", "old.example/ns/shop/*", "older.example/ns/shop/*"}},
      {"cluster.local/ns/shop/sa/web",
       {"new.example/ns/shop/sa/web", "old.example/ns/shop/sa/web",
        "older.example/ns/shop/sa/web"}},
      {"strange.example/ns/shop/sa/web", {"strange.example/ns/shop/sa/web"}},
      {"*/ns/shop/sa/web", {"*/ns/shop/sa/web"}},
      {"*", {"*"}},
      {"old.example", {"old.example"}},  // not a whole principal
      {"old.example*", {"old.example*"}},
  };
  for (const Row& row : rows) {
    INFO(row.written);
    CHECK(under(renamed, {row.written}) == row.meant);
  }
  // What was written twice, under two names, is there once.
  CHECK(under(renamed, {"old.example/a", "new.example/a"}).size() == 3);
}

TEST_CASE("without aliases a policy stays as it is written") {
  CHECK(under({}, {"cluster.local/ns/a/sa/b", "other/ns/a/sa/b", "*"}) ==
        Principals{"cluster.local/ns/a/sa/b", "other/ns/a/sa/b", "*"});
}

}  // namespace mesh::control
