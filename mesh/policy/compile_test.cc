#include "mesh/policy/compile.h"

#include <functional>

#include <catch2/catch_test_macros.hpp>

#include "test/support/policy_text.h"

namespace mesh::policy {
namespace {

constexpr std::string_view kEverything =
    "app/p: allow ns=web,web*,*web,* !ns=ops principal=a/ns/b/sa/c !principal=* sa=web/peer "
    "!sa=web/job from=10.0.0.0/8,fd00::/16 !from=10.1.0.0/16 at=10.2.0.0/16 !at=10.2.3.4/32 "
    "port=80,65535 !port=1 ; port=22 & {} | all | [] & port=9";

TEST_CASE("compile keeps everything that a draft says") {
  const Policy policy = compile(test::draft(kEverything));
  REQUIRE(policy.problem.empty());
  CHECK(policy.key == "app/p");
  CHECK(policy.scope == Scope::kNamespace);
  CHECK(policy.action == Action::kAllow);
  REQUIRE(policy.any_of.size() == 3);
  REQUIRE(policy.any_of[0].all_of.size() == 2);
  REQUIRE(policy.any_of[0].all_of[0].any_of.size() == 2);
  const Match& match = policy.any_of[0].all_of[0].any_of[0];
  using Kind = StringMatch::Kind;
  CHECK(match.namespaces == std::vector<StringMatch>{{Kind::kExact, "web"},
                                                     {Kind::kPrefix, "web"},
                                                     {Kind::kSuffix, "web"},
                                                     {Kind::kPresence, ""}});
  CHECK(match.not_namespaces.size() == 1);
  CHECK(match.principals == std::vector<StringMatch>{{Kind::kExact, "a/ns/b/sa/c"}});
  CHECK(match.not_principals.size() == 1);
  CHECK(match.service_accounts == std::vector<ServiceAccountMatch>{{"web", "peer"}});
  CHECK(match.not_service_accounts == std::vector<ServiceAccountMatch>{{"web", "job"}});
  CHECK(match.source_ips.size() == 2);
  CHECK(match.not_source_ips.size() == 1);
  CHECK(match.destination_ips.size() == 1);
  CHECK(match.not_destination_ips.size() == 1);
  CHECK(match.destination_ports == std::vector<std::uint16_t>{80, 65535});
  CHECK(match.not_destination_ports == std::vector<std::uint16_t>{1});
  CHECK(policy.any_of[0].all_of[1].any_of == std::vector<Match>{Match{}});
  CHECK(policy.any_of[1].all_of.empty());
  CHECK(policy.any_of[2].all_of[0].any_of.empty());
}

TEST_CASE("compile is all or nothing: one bad value makes a policy unusable, and is named") {
  struct Row {
    std::function<void(PolicyDraft&)> spoil;
    std::string_view problem;
  };
  const auto match = [](PolicyDraft& draft) -> MatchDraft& {
    return draft.rules[0].clauses[0].matches[0];
  };
  const std::string at = "rules[0].clauses[0].matches[0].";
  const std::vector<Row> rows = {
      {[](PolicyDraft& d) { d.name.clear(); }, "name: empty"},
      {[](PolicyDraft& d) { d.ns.clear(); }, "namespace: empty"},
      {[](PolicyDraft& d) { d.name = "a/b"; }, "name: holds a '/'"},
      {[](PolicyDraft& d) { d.name.assign(254, 'n'); }, "name: longer than 253 bytes"},
      {[](PolicyDraft& d) { d.scope = 3; }, "scope: value 3"},
      {[](PolicyDraft& d) { d.scope = -1; }, "scope: value -1"},
      {[](PolicyDraft& d) { d.action = 2; }, "action: value 2"},
      {[](PolicyDraft& d) { d.problem = "field 9 is unknown"; }, "field 9 is unknown"},
      {[&](PolicyDraft& d) { match(d).namespaces.push_back({}); },
       "namespaces[1]: a string match without a type"},
      {[&](PolicyDraft& d) { match(d).not_principals.push_back({}); },
       "not_principals[0]: a string match without a type"},
      {[&](PolicyDraft& d) { match(d).namespaces[0].value.assign(kMaxPolicyText + 1, 'x'); },
       "namespaces[0]: a text that is too long"},
      {[&](PolicyDraft& d) { match(d).source_ips.push_back({"abc", 24}); },
       "source_ips[0]: an address of 3 bytes"},
      {[&](PolicyDraft& d) { match(d).not_source_ips.push_back({"", 0}); },
       "not_source_ips[0]: an address of 0 bytes"},
      {[&](PolicyDraft& d) { match(d).destination_ips.push_back({"abcd", 33}); },
       "destination_ips[0]: a prefix length of 33"},
      {[&](PolicyDraft& d) { match(d).not_destination_ips.push_back({"abcdabcdabcdabcd", 129}); },
       "not_destination_ips[0]: a prefix length of 129"},
      {[&](PolicyDraft& d) { match(d).destination_ports.push_back(65'536); },
       "destination_ports[0]: port 65536"},
      {[&](PolicyDraft& d) { match(d).not_destination_ports.push_back(0); },
       "not_destination_ports[0]: port 0"},
  };
  for (const Row& row : rows) {
    PolicyDraft draft = test::draft("app/p: allow ns=web");
    row.spoil(draft);
    const Policy policy = compile(draft);
    INFO(row.problem);
    CHECK(policy.problem.ends_with(row.problem));
    CHECK(policy.problem.starts_with(policy.problem.contains('[') ? at : ""));
    CHECK_FALSE(policy.usable());
    CHECK(policy.any_of.empty());
  }
}

TEST_CASE("a policy has at most 65 536 parts") {
  PolicyDraft draft = test::draft("app/p: deny port=1");
  std::vector<std::uint32_t>& ports = draft.rules[0].clauses[0].matches[0].destination_ports;
  ports.assign(kMaxPolicyParts - 3, 80);  // and one rule, one clause, one match
  CHECK(compile(draft).usable());
  ports.push_back(80);
  CHECK(compile(draft).problem == "rules[0].clauses[0].matches[0]: more than 65536 parts in one "
                                  "policy");
}

TEST_CASE("an unusable policy of unknown scope takes the one that its sender says it might have") {
  PolicyDraft draft = test::draft("app/p: allow all");
  draft.scope = 9;
  draft.scope_if_unknown = Scope::kGlobal;
  const Policy policy = compile(draft);
  CHECK(policy.scope == Scope::kGlobal);
  CHECK_FALSE(policy.scope_known);
}

}  // namespace
}  // namespace mesh::policy
