// explain(): authorize() once more, with a note for each policy. It asks authorize() for the
// answer, so the two cannot disagree; the notes are found beside it.

#include <algorithm>

#include "mesh/policy/authorize.h"

namespace mesh::policy {
namespace {

constexpr std::size_t kValuesShown = 4;

std::string text_of(const StringMatch& match) {
  switch (match.kind) {
    case StringMatch::Kind::kExact: return match.value;
    case StringMatch::Kind::kPrefix: return match.value + "*";
    case StringMatch::Kind::kSuffix: return "*" + match.value;
    case StringMatch::Kind::kPresence: return "(any)";
  }
  return "?";
}
std::string text_of(const ServiceAccountMatch& match) {
  return match.ns + "/" + match.service_account;
}
std::string text_of(const net::Cidr& block) { return block.to_string(); }
std::string text_of(std::uint16_t port) { return std::to_string(port); }

template <class T>
std::string list_of(const std::vector<T>& values) {
  std::string text;
  for (std::size_t i = 0; i < values.size() && i < kValuesShown; ++i) {
    if (i > 0) text += ", ";
    text += text_of(values[i]);
  }
  if (values.size() > kValuesShown) {
    text += " and " + std::to_string(values.size() - kValuesShown) + " more";
  }
  return text;
}

// A match of one field only: what holds_for() says of it is what the field contributes.
template <class Values>
bool field_alone_holds(Values Match::*field, const Match& match, const Connection& connection) {
  Match alone;
  alone.*field = match.*field;
  return alone.empty() || alone.holds_for(connection);
}

// Why `match` does not hold for `connection`.
std::string why_not(const Match& match, const Connection& connection) {
  if (match.empty()) return "a match without fields never holds";
  const std::shared_ptr<const Caller>& caller = connection.caller;
  const std::string port = "port " + std::to_string(connection.destination_port);
  const std::string principal = caller ? "principal " + caller->principal() : "no identity";
  const std::string ns = caller ? "namespace " + caller->id().ns() : "no identity";
  const std::string account =
      caller ? "service account " + caller->id().ns() + "/" + caller->id().service_account()
             : "no identity";
  const std::string source = "source " + connection.source_ip.to_string();
  const std::string destination = "destination " + connection.destination_ip.to_string();

  std::string why;
  const auto look = [&](auto field, const std::string& what, const char* how) {
    if (!why.empty() || field_alone_holds(field, match, connection)) return;
    why = what + how + list_of(match.*field);
  };
  constexpr const char* kNone = " is none of ";
  constexpr const char* kOne = " is one of the excluded ";
  look(&Match::destination_ports, port, kNone);
  look(&Match::not_destination_ports, port, kOne);
  look(&Match::namespaces, ns, kNone);
  look(&Match::not_namespaces, ns, kOne);
  look(&Match::principals, principal, kNone);
  look(&Match::not_principals, principal, kOne);
  look(&Match::service_accounts, account, kNone);
  look(&Match::not_service_accounts, account, kOne);
  look(&Match::source_ips, source, kNone);
  look(&Match::not_source_ips, source, kOne);
  look(&Match::destination_ips, destination, kNone);
  look(&Match::not_destination_ips, destination, kOne);
  return why;
}

std::string why_not(const Rule& rule, const Connection& connection) {
  for (const Clause& clause : rule.all_of) {
    if (clause.holds_for(connection)) continue;
    std::string why;
    for (const Match& match : clause.any_of) {
      if (!why.empty()) why += "; nor: ";
      why += why_not(match, connection);
      if (why.size() > 512) return why.substr(0, 512) + "…";
    }
    return why;
  }
  return {};
}

PolicyNote note_of(const Policy& policy, const Connection& connection) {
  PolicyNote note{.policy = policy.key,
                  .scope = policy.scope,
                  .action = policy.action,
                  .dry_run = policy.dry_run};
  if (!policy.usable()) {
    note.why = {policy.problem};
    return note;
  }
  for (std::size_t i = 0; i < policy.any_of.size(); ++i) {
    if (policy.any_of[i].holds_for(connection)) {
      note.outcome = PolicyNote::Outcome::kApplies;
      note.rule = i;
      note.why.clear();
      return note;
    }
    note.why.push_back("rule " + std::to_string(i) + ": " +
                       why_not(policy.any_of[i], connection));
  }
  note.outcome = PolicyNote::Outcome::kDoesNotApply;
  if (policy.any_of.empty()) note.why = {"it has no rules, and never applies"};
  return note;
}

std::string summary_of(const Explanation& explanation) {
  const std::string& by = explanation.decided_by;
  const std::string rule =
      explanation.rule ? " (rule " + std::to_string(*explanation.rule) + ")" : "";
  if (by == kNoPolicies) return "allowed: no allow policy applies to this workload, none denies";
  if (by == kNotAllowed) return "denied: none of the allow policies of this workload applies";
  if (explanation.allowed) return "allowed by " + by + rule;
  if (explanation.reason == Reason::kPolicyUnusable) {
    return "denied: policy " + by + " is unknown or was not understood";
  }
  return "denied by " + by + rule;
}

}  // namespace

std::string_view outcome_name(PolicyNote::Outcome outcome) {
  switch (outcome) {
    case PolicyNote::Outcome::kApplies: return "applies";
    case PolicyNote::Outcome::kDoesNotApply: return "does_not_apply";
    case PolicyNote::Outcome::kUnusable: return "unusable";
    case PolicyNote::Outcome::kUnknown: return "unknown";
  }
  return "?";
}

Explanation explain(const Selection& policies, const Connection& connection) {
  const Verdict verdict = authorize(policies, connection);
  Explanation explanation{.allowed = verdict.allowed(),
                          .reason = verdict.reason(),
                          .decided_by = std::string(verdict.decided_by())};
  for (const PolicyIndex* scope : {policies.global, policies.of_namespace}) {
    if (scope == nullptr) continue;
    for (const PolicyPtr& policy : scope->policies()) {
      explanation.policies.push_back(note_of(*policy, connection));
    }
  }
  for (const std::string& key : policies.listed) {
    if (const Policy* policy = policies.catalog->find(key); policy != nullptr) {
      explanation.policies.push_back(note_of(*policy, connection));
    } else {
      explanation.policies.push_back({.policy = key,
                                      .scope = Scope::kWorkload,
                                      .outcome = PolicyNote::Outcome::kUnknown,
                                      .why = {"the workload lists it, and nobody sent it"}});
    }
  }
  const auto decider = std::ranges::find(explanation.policies, explanation.decided_by,
                                         &PolicyNote::policy);
  if (decider != explanation.policies.end()) explanation.rule = decider->rule;
  explanation.summary = summary_of(explanation);
  return explanation;
}

}  // namespace mesh::policy
