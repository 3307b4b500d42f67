// authorize() over 10 000 policies, and the next catalog.

#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "mesh/policy/authorize.h"
#include "test/support/policy_text.h"

namespace mesh::policy {
namespace {

constexpr int kPolicies = 10'000;

// `line` with every % replaced by a number from 0.
std::vector<PolicyPtr> many(std::string_view line, int count = kPolicies) {
  std::vector<PolicyPtr> result;
  for (int i = 0; i < count; ++i) {
    std::string text;
    for (const char c : line) c == '%' ? text += std::to_string(i) : text += c;
    result.push_back(std::make_shared<const Policy>(compile(test::draft(text))));
  }
  return result;
}

void run(benchmark::State& state, const std::vector<PolicyPtr>& policies, std::string_view who,
         const std::vector<std::string>& listed = {}) {
  const Catalog catalog = Catalog().with(policies, {});
  const Connection connection = test::connection(who);
  for (auto _ : state) {
    const Verdict verdict = authorize(catalog.select("app", listed), connection);
    benchmark::DoNotOptimize(verdict.allowed());
  }
}

// 10 000 policies of 1 000 namespaces: ten of them matter.
void spread_over_namespaces(benchmark::State& state) {
  std::vector<PolicyPtr> all = many("ns%/p: allow principal=cluster.local/ns/x/sa/y");
  for (const PolicyPtr& one : many("app/p%: allow principal=cluster.local/ns/web/sa/s%", 10)) {
    all.push_back(one);
  }
  run(state, all, "web/s9 to 80");
}
BENCHMARK(spread_over_namespaces);

// 10 000 policies of one namespace, each of another principal: the index finds the one.
void one_namespace_by_principal(benchmark::State& state) {
  run(state, many("app/p%: allow principal=cluster.local/ns/web/sa/s%"), "web/s9999 to 80");
}
BENCHMARK(one_namespace_by_principal);

// The same, and nobody is let in.
void one_namespace_by_principal_denied(benchmark::State& state) {
  run(state, many("app/p%: allow principal=cluster.local/ns/web/sa/s%"), "web/nobody to 80");
}
BENCHMARK(one_namespace_by_principal_denied);

// 10 000 blocks of addresses in one namespace: what no index of names helps with.
void one_namespace_by_address(benchmark::State& state) {
  run(state, many("app/p%: deny from=192.168.0.0/24"), "web/s to 80");
}
BENCHMARK(one_namespace_by_address);

// 10 000 rules of prefixes, likewise.
void one_namespace_by_prefix(benchmark::State& state) {
  run(state, many("app/p%: deny principal=cluster.local/ns/n%/*"), "web/s to 80");
}
BENCHMARK(one_namespace_by_prefix);

// What a mesh under STRICT usually has: a listed policy, and a few of the namespace.
void strict_and_two(benchmark::State& state) {
  std::vector<PolicyPtr> all = test::policies(R"(
    istio-system/strict: deny workload !principal=*
    app/a: allow ns=web | ns=ops port=22
    app/d: deny sa=web/job
  )");
  run(state, all, "web/peer to 80", {"istio-system/strict"});
}
BENCHMARK(strict_and_two);

// One policy of 10 000 changes: in a namespace of its own, and in one that has all of them.
void next_catalog(benchmark::State& state) {
  const bool crowded = state.range(0) == 1;
  const Catalog catalog = Catalog().with(
      many(crowded ? "app/p%: allow ns=n%" : "ns%/p: allow ns=n%"), {});
  const std::vector<PolicyPtr> change =
      test::policies(crowded ? "app/p77: deny ns=other" : "ns77/p: deny ns=other");
  for (auto _ : state) benchmark::DoNotOptimize(catalog.with(change, {}));
}
BENCHMARK(next_catalog)->Arg(0)->Arg(1);

}  // namespace
}  // namespace mesh::policy

BENCHMARK_MAIN();
