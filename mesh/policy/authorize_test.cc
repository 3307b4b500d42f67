#include "mesh/policy/authorize.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_random.hpp>

#include "test/support/policy_text.h"

namespace mesh::policy {
namespace {

using test::catalog;     // one policy a line
using test::connection;  // "web/peer to 8080", "plaintext 10.0.0.1 to 10.0.0.2:8080"

struct Row {
  std::string_view policies;
  std::string_view connection;
  bool allowed;
  std::string_view decided_by;
};

void check(const Row& row, const std::vector<std::string>& listed = {}) {
  INFO("policies:\n" << row.policies << "\nconnection: " << row.connection);
  const Catalog given = catalog(row.policies);
  const Selection selection = given.select("app", listed);
  const Verdict verdict = authorize(selection, connection(row.connection));
  CHECK(verdict.permit().has_value() == row.allowed);
  CHECK(verdict.allowed() == row.allowed);
  CHECK(verdict.decided_by() == row.decided_by);

  const Explanation explanation = explain(selection, connection(row.connection));
  CHECK(explanation.allowed == row.allowed);
  CHECK(explanation.decided_by == row.decided_by);
  CHECK_FALSE(explanation.summary.empty());
}

// The whole specification of authorize(), one row a case. The workload is in namespace app.
TEST_CASE("authorize: deny wins, then allow, then default deny once anything is allowed") {
  check(GENERATE(values<Row>({
      // no policy at all: an open mesh
      {"", "web/peer to 8080", true, "(no policy applies here)"},
      {"", "plaintext to 8080", true, "(no policy applies here)"},

      // one allow policy closes everything else
      {"app/a: allow ns=web", "web/peer to 8080", true, "app/a"},
      {"app/a: allow ns=web", "ops/peer to 8080", false, "(no allow policy matched)"},
      {"app/a: allow ns=web", "plaintext to 8080", false, "(no allow policy matched)"},
      {"app/a: allow port=8080", "plaintext to 8080", true, "app/a"},
      {"app/a: allow port=8080", "plaintext to 9090", false, "(no allow policy matched)"},

      // deny wins whatever the order of names
      {"app/a: allow ns=web\napp/d: deny sa=web/job", "web/job to 80", false, "app/d"},
      {"app/d: deny sa=web/job\napp/x: allow ns=web", "web/job to 80", false, "app/d"},
      {"app/d: deny sa=web/job\napp/x: allow ns=web", "web/peer to 80", true, "app/x"},

      // deny policies alone leave the rest open
      {"app/d: deny sa=web/job", "web/peer to 80", true, "(no policy applies here)"},

      // of several that decide the first by name is named, global before namespace
      {"app/b: deny all\napp/a: deny all", "web/peer to 80", false, "app/a"},
      {"app/a: deny all\nroot/z: deny global all", "web/peer to 80", false, "root/z"},

      // a policy of another namespace, or of workloads that do not list it, is nobody's business
      {"other/d: deny all", "web/peer to 80", true, "(no policy applies here)"},
      {"app/d: deny workload all", "web/peer to 80", true, "(no policy applies here)"},
      {"other/a: allow none", "web/peer to 80", true, "(no policy applies here)"},
  })));
}

TEST_CASE("authorize: empty keeps its meaning on the wire") {
  check(GENERATE(values<Row>({
      {"app/a: allow none", "web/peer to 80", false, "(no allow policy matched)"},
      {"app/d: deny none", "web/peer to 80", true, "(no policy applies here)"},
      {"app/a: allow all", "plaintext to 80", true, "app/a"},
      {"app/d: deny all", "plaintext to 80", false, "app/d"},
      {"app/d: deny []", "plaintext to 80", false, "app/d"},
      {"app/a: allow {}", "web/peer to 80", false, "(no allow policy matched)"},
      {"app/d: deny {}", "web/peer to 80", true, "(no policy applies here)"},
      {"app/d: deny {}; port=81", "web/peer to 81", false, "app/d"},
      {"app/d: deny [] & port=81", "web/peer to 81", false, "app/d"},
      {"app/d: deny [] & port=81", "web/peer to 80", true, "(no policy applies here)"},
      {"app/d: deny {} & port=81", "web/peer to 81", true, "(no policy applies here)"},
  })));
}

TEST_CASE("authorize: a caller without identity has the empty namespace and no principal") {
  check(GENERATE(values<Row>({
      {"app/a: allow ns=\"\"", "plaintext to 80", true, "app/a"},
      {"app/a: allow ns=\"\"*", "plaintext to 80", true, "app/a"},
      {"app/a: allow ns=*", "plaintext to 80", false, "(no allow policy matched)"},
      {"app/a: allow principal=\"\"", "plaintext to 80", false, "(no allow policy matched)"},
      {"app/a: allow principal=\"\"*", "plaintext to 80", false, "(no allow policy matched)"},
      {"app/a: allow principal=*", "plaintext to 80", false, "(no allow policy matched)"},
      {"app/a: allow principal=*", "web/peer to 80", true, "app/a"},
      {"app/a: allow !ns=web", "plaintext to 80", true, "app/a"},
      {"app/a: allow !principal=cluster.local/ns/web/sa/peer", "plaintext to 80", true, "app/a"},
      {"app/a: allow !sa=web/peer", "plaintext to 80", true, "app/a"},
      {"app/s: deny !principal=*", "plaintext to 80", false, "app/s"},
      {"app/s: deny !principal=*", "web/peer to 80", true, "(no policy applies here)"},
  })));
}

TEST_CASE("authorize: the fields of a match") {
  check(GENERATE(values<Row>({
      {"app/a: allow principal=cluster.local/ns/web/*", "web/peer to 80", true, "app/a"},
      {"app/a: allow principal=*/sa/peer", "ops/peer to 80", true, "app/a"},
      {"app/a: allow principal=spiffe://cluster.local/ns/web/sa/peer", "web/peer to 80", false,
       "(no allow policy matched)"},
      {"app/a: allow ns=WEB", "web/peer to 80", false, "(no allow policy matched)"},
      {"app/a: allow ns=web* !ns=web-2", "web-2/peer to 80", false, "(no allow policy matched)"},
      {"app/a: allow ns=web* !ns=web-2", "web-1/peer to 80", true, "app/a"},
      {"app/d: deny !ns=web,ops", "ops/peer to 80", true, "(no policy applies here)"},
      {"app/d: deny !ns=web,ops", "dev/peer to 80", false, "app/d"},
      {"app/a: allow ns=web port=80", "web/peer to 81", false, "(no allow policy matched)"},
      {"app/a: allow ns=web & port=81", "web/peer to 81", true, "app/a"},
      {"app/a: allow ns=web & port=81", "ops/peer to 81", false, "(no allow policy matched)"},
      {"app/a: allow ns=ops | port=81", "web/peer to 81", true, "app/a"},
      {"app/d: deny from=10.0.0.0/24", "plaintext 10.0.0.9 to 80", false, "app/d"},
      {"app/d: deny from=10.0.0.0/24", "plaintext 10.0.1.9 to 80", true,
       "(no policy applies here)"},
      {"app/d: deny !from=::/0", "plaintext 10.0.0.9 to 80", false, "app/d"},
      {"app/d: deny !from=::/0", "plaintext fd00::9 to [fd00::1]:80", true,
       "(no policy applies here)"},
      {"app/d: deny from=::ffff:10.0.0.0/112", "plaintext 10.0.0.9 to 80", true,
       "(no policy applies here)"},
      {"app/d: deny at=10.0.0.2/32", "web/peer to 10.0.0.2:80", false, "app/d"},
      {"app/d: deny at=10.0.0.2/32", "web/peer to [::ffff:10.0.0.2]:80", false, "app/d"},
      {"app/d: deny from=10.0.0.9/32", "web/peer ::ffff:10.0.0.9 to 80", false, "app/d"},
      {"app/d: deny !port=80", "web/peer to 81", false, "app/d"},
      {"app/a: allow sa=/peer", "web/peer to 80", false, "(no allow policy matched)"},
  })));
}

TEST_CASE("authorize: dry-run policies decide nothing, and what they would deny is known") {
  const Catalog given = catalog(R"(
    app/dry-allow: allow dry-run ns=ops
    app/dry-deny: deny dry-run port=81
    root/real: deny global port=82
  )");
  const Selection selection = given.select("app", {});

  CHECK(authorize(selection, connection("web/peer to 80")).allowed());
  CHECK(dry_run_denial(selection, connection("web/peer to 80")) == kNotAllowed);
  CHECK(dry_run_denial(selection, connection("ops/peer to 80")) == std::nullopt);
  CHECK(authorize(selection, connection("ops/peer to 81")).allowed());
  CHECK(dry_run_denial(selection, connection("ops/peer to 81")) == "app/dry-deny");
}

TEST_CASE("authorize: what a workload lists applies to it alone") {
  check({"app/w: deny workload port=81", "web/peer to 81", false, "app/w"}, {"app/w"});
  check({"other/w: deny workload port=81", "web/peer to 81", false, "other/w"}, {"other/w"});
  check({"app/w: allow workload port=81\nroot/g: allow global ns=ops", "web/peer to 81", true,
         "app/w"},
        {"app/w"});
  check({"app/both: deny port=81", "web/peer to 81", false, "app/both"}, {"app/both"});
}

TEST_CASE("a listed but unknown policy is not skipped: it denies and is named") {
  const Catalog given = catalog("app/a: allow all");
  const std::vector<std::string> listed = {"app/a", "app/missing"};
  const Selection selection = given.select("app", listed);

  const Verdict verdict = authorize(selection, connection("web/peer to 80"));
  CHECK_FALSE(verdict.permit());
  CHECK(verdict.reason() == Reason::kPolicyUnusable);
  CHECK(verdict.decided_by() == "app/missing");

  const Explanation explanation = explain(selection, connection("web/peer to 80"));
  CHECK(explanation.summary == "denied: policy app/missing is unknown or was not understood");
  CHECK(explanation.policies.back().outcome == PolicyNote::Outcome::kUnknown);
}

TEST_CASE("an unusable policy denies its scope, and no other") {
  PolicyDraft broken = test::draft("app/broken: allow all");
  broken.problem = "rules[0]: field 59 is unknown";
  const auto scope = GENERATE(0, 1, 2);
  broken.scope = scope;
  const auto policy = std::make_shared<const Policy>(compile(broken));
  const Catalog given = Catalog().with(std::vector{policy}, {});
  const std::vector<std::string> listed = {"app/broken"};

  const auto reason = [&](std::string_view ns, std::span<const std::string> lists) {
    const Verdict verdict = authorize(given.select(ns, lists), connection("web/peer to 80"));
    return verdict.allowed() ? "allowed" : reason_name(verdict.reason());
  };
  CHECK(reason("app", {}) == (scope == 2 ? "allowed" : "policy_unusable"));
  CHECK(reason("other", {}) == (scope == 0 ? "policy_unusable" : "allowed"));
  CHECK(reason("other", listed) == "policy_unusable");
}

TEST_CASE("an unusable dry run decides nothing") {
  PolicyDraft broken = test::draft("app/broken: deny dry-run all");
  broken.problem = "rules[0]: field 59 is unknown";
  const auto policy = std::make_shared<const Policy>(compile(broken));
  const Catalog given = Catalog().with(std::vector{policy}, {});
  const std::vector<std::string> listed = {"app/broken"};
  CHECK(authorize(given.select("app", listed), connection("web/peer to 80")).allowed());
}

TEST_CASE("explain names the rule that decided, and why the others did not") {
  const Catalog given = catalog(R"(
    app/a: allow ns=ops | ns=web port=7001 | ns=web
    app/d: deny !principal=* | from=10.9.0.0/16
    app/n: allow none
  )");
  const Explanation why = explain(given.select("app", {}), connection("web/peer to 80"));

  CHECK(why.summary == "allowed by app/a (rule 2)");
  REQUIRE(why.policies.size() == 3);
  CHECK(why.policies[0].outcome == PolicyNote::Outcome::kApplies);
  CHECK(why.policies[0].rule == 2);
  CHECK(why.policies[1].outcome == PolicyNote::Outcome::kDoesNotApply);
  CHECK(why.policies[1].why ==
        std::vector<std::string>{
            "rule 0: principal cluster.local/ns/web/sa/peer is one of the excluded (any)",
            "rule 1: source 10.0.0.1 is none of 10.9.0.0/16"});
  CHECK(why.policies[2].why == std::vector<std::string>{"it has no rules, and never applies"});

  const Explanation denied = explain(given.select("app", {}), connection("plaintext to 80"));
  CHECK(denied.summary == "denied by app/d (rule 0)");
  CHECK(denied.policies[0].why[1] == "rule 1: port 80 is none of 7001");
}

}  // namespace
}  // namespace mesh::policy
