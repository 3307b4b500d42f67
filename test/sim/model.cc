#include "test/sim/model.h"

#include "test/support/policy_text.h"

namespace mesh::sim {
namespace {

std::string principals(const std::set<int>& pods) {
  std::string text;
  for (const int pod : pods) {
    const std::string number = std::to_string(pod);
    if (!text.empty()) text += ',';
    text += "cluster.local/ns/ns" + number + "/sa/sa" + number;
  }
  return text;
}

}  // namespace

std::string policy_key(int pod, bool listed) {
  return "ns" + std::to_string(pod) + (listed ? "/own" : "/rule");
}

bool Rule::allows(int from) const {
  if (mesh_strict && from == kOutside) return false;
  switch (kind) {
    case Kind::kOpen:
      return true;
    case Kind::kAllow:
      return pods.contains(from);
    case Kind::kDeny:
      return !pods.contains(from);
    case Kind::kNobody:
    case Kind::kBroken:
      return false;
    case Kind::kStrict:
      return from != kOutside;
  }
  return false;
}

policy::PolicyPtr Rule::policy(int to) const {
  const std::string key = policy_key(to, listed);
  const std::string scope = listed ? "workload " : "";
  std::string line;
  switch (kind) {
    case Kind::kOpen:
      return nullptr;
    case Kind::kAllow:
      line = key + ": allow " + scope + "principal=" + principals(pods);
      break;
    case Kind::kDeny:
      line = key + ": deny " + scope + "principal=" + principals(pods);
      break;
    case Kind::kNobody:
    case Kind::kBroken:
      line = key + ": allow " + scope + "none";
      break;
    case Kind::kStrict:
      line = key + ": deny " + scope + "!principal=*";
      break;
  }
  policy::PolicyDraft draft = policy::test::draft(line);
  if (kind == Kind::kBroken) draft.action = 7;
  return std::make_shared<const policy::Policy>(policy::compile(draft));
}

std::string Rule::text() const {
  static constexpr const char* kNames[] = {"open", "allow", "deny", "nobody", "broken", "strict"};
  std::string text = kNames[static_cast<int>(kind)];
  for (const int pod : pods) text += " " + std::to_string(pod);
  return listed ? text + " (listed)" : text;
}

void RuleHistory::published(const Rule& rule, io::TimePoint when) {
  entries_.push_back({.rule = rule, .published = when, .applied = {}});
}

void RuleHistory::applied(std::size_t index, io::TimePoint when) {
  for (std::size_t i = 0; i <= index; ++i) {
    if (!entries_.at(i).applied) entries_[i].applied = when;
  }
}

bool RuleHistory::may_allow(int from, io::TimePoint begin, io::TimePoint end) const {
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].published > end) break;
    const bool replaced =
        i + 1 < entries_.size() && entries_[i + 1].applied && *entries_[i + 1].applied < begin;
    if (!replaced && entries_[i].rule.allows(from)) return true;
  }
  return false;
}

}  // namespace mesh::sim
