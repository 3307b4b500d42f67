// Drafts made from arbitrary bytes: compile() never crashes, what it makes holds together with the
// index, and nothing of a draft that it accepts is lost.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "mesh/base/check.h"
#include "mesh/policy/authorize.h"
#include "mesh/policy/compile.h"

namespace mesh::policy {
namespace {

class Bytes {
 public:
  Bytes(const std::uint8_t* data, std::size_t size) : data_(data), left_(size) {}
  std::uint8_t byte() { return left_ == 0 ? std::uint8_t{0} : (--left_, *data_++); }
  std::uint32_t number() {
    std::uint32_t value = 0;
    for (std::uint8_t size = byte() % 5; size > 0; --size) value = (value << 8) | byte();
    return value;
  }
  std::string text() {
    std::string result;
    for (std::uint8_t size = byte() % 20; size > 0; --size) result += static_cast<char>(byte());
    return result;
  }
  std::size_t few() { return left_ == 0 ? 0 : byte() % 4; }

 private:
  const std::uint8_t* data_;
  std::size_t left_;
};

void fill(Bytes& bytes, std::vector<StringMatchDraft>& to) {
  for (std::size_t n = bytes.few(); n > 0; --n) {
    to.push_back({.kind = static_cast<StringMatchDraft::Kind>(bytes.byte() % 5),
                  .value = bytes.text()});
  }
}
void fill(Bytes& bytes, std::vector<AddressDraft>& to) {
  for (std::size_t n = bytes.few(); n > 0; --n) {
    to.push_back({.bytes = bytes.text(), .length = bytes.number()});
  }
}
void fill(Bytes& bytes, std::vector<std::uint32_t>& to) {
  for (std::size_t n = bytes.few(); n > 0; --n) to.push_back(bytes.number());
}

PolicyDraft draft_of(Bytes& bytes) {
  PolicyDraft draft{.name = bytes.text(), .ns = bytes.text()};
  draft.scope = bytes.byte() % 4;
  draft.action = bytes.byte() % 3;
  draft.dry_run = bytes.byte() % 2 == 1;
  draft.rules.resize(bytes.few());
  for (RuleDraft& rule : draft.rules) {
    rule.clauses.resize(bytes.few());
    for (ClauseDraft& clause : rule.clauses) {
      clause.matches.resize(bytes.few());
      for (MatchDraft& match : clause.matches) {
        fill(bytes, match.namespaces);
        fill(bytes, match.not_principals);
        fill(bytes, match.source_ips);
        fill(bytes, match.destination_ports);
      }
    }
  }
  return draft;
}

}  // namespace
}  // namespace mesh::policy

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mesh::policy;
  Bytes bytes(data, size);
  const PolicyDraft draft = draft_of(bytes);
  const Policy policy = compile(draft);
  if (policy.usable()) {
    MESH_CHECK(policy.any_of.size() == draft.rules.size());
    MESH_CHECK(draft.scope < 3 && draft.action < 2);
    for (std::size_t r = 0; r < draft.rules.size(); ++r) {
      MESH_CHECK(policy.any_of[r].all_of.size() == draft.rules[r].clauses.size());
      for (std::size_t c = 0; c < draft.rules[r].clauses.size(); ++c) {
        const std::vector<MatchDraft>& matches = draft.rules[r].clauses[c].matches;
        MESH_CHECK(policy.any_of[r].all_of[c].any_of.size() == matches.size());
        for (std::size_t m = 0; m < matches.size(); ++m) {
          const Match& made = policy.any_of[r].all_of[c].any_of[m];
          MESH_CHECK(made.namespaces.size() == matches[m].namespaces.size());
          MESH_CHECK(made.not_principals.size() == matches[m].not_principals.size());
          MESH_CHECK(made.source_ips.size() == matches[m].source_ips.size());
          MESH_CHECK(made.destination_ports.size() == matches[m].destination_ports.size());
        }
      }
    }
  } else {
    MESH_CHECK(policy.any_of.empty());
  }

  const std::vector<PolicyPtr> all = {std::make_shared<const Policy>(policy)};
  const Catalog catalog = Catalog().with(all, {});
  const Connection connection{.destination_port = 80};
  const std::vector<std::string> listed = {policy.key};
  const Selection selection = catalog.select(policy.ns, listed);
  const Verdict verdict = authorize(selection, connection);
  const Explanation explanation = explain(selection, connection);
  MESH_CHECK(explanation.allowed == verdict.allowed());
  if (!policy.usable() && !policy.dry_run) MESH_CHECK(!verdict.allowed());
  if (policy.usable() && !policy.dry_run) {
    const bool applies = policy.applies_to(connection);
    MESH_CHECK(verdict.allowed() == (policy.action == Action::kAllow ? applies : !applies));
  }
  return 0;
}
