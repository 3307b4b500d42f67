#include "mesh/policy/compile.h"

#include <optional>
#include <utility>

namespace mesh::policy {
namespace {

// Walks a draft, counts its parts, and stops at the first one that is wrong.
class Compiler {
 public:
  std::optional<std::vector<Rule>> rules(const std::vector<RuleDraft>& drafts) {
    std::vector<Rule> result(drafts.size());
    if (!count(drafts.size(), "rules")) return std::nullopt;
    for (std::size_t i = 0; i < drafts.size(); ++i) {
      const std::string where = "rules[" + std::to_string(i) + "]";
      if (!rule(drafts[i], where, result[i])) return std::nullopt;
    }
    return result;
  }

  std::string take_problem() { return std::move(problem_); }

 private:
  bool rule(const RuleDraft& draft, const std::string& where, Rule& rule) {
    if (!count(draft.clauses.size(), where)) return false;
    rule.all_of.resize(draft.clauses.size());
    for (std::size_t i = 0; i < draft.clauses.size(); ++i) {
      const std::string at = where + ".clauses[" + std::to_string(i) + "]";
      const std::vector<MatchDraft>& matches = draft.clauses[i].matches;
      if (!count(matches.size(), at)) return false;
      rule.all_of[i].any_of.resize(matches.size());
      for (std::size_t m = 0; m < matches.size(); ++m) {
        const std::string match_at = at + ".matches[" + std::to_string(m) + "]";
        if (!match(matches[m], match_at, rule.all_of[i].any_of[m])) return false;
      }
    }
    return true;
  }

  bool match(const MatchDraft& draft, const std::string& at, Match& match) {
    return texts(draft.namespaces, at, "namespaces", match.namespaces) &&
           texts(draft.not_namespaces, at, "not_namespaces", match.not_namespaces) &&
           texts(draft.principals, at, "principals", match.principals) &&
           texts(draft.not_principals, at, "not_principals", match.not_principals) &&
           accounts(draft.service_accounts, at, "service_accounts", match.service_accounts) &&
           accounts(draft.not_service_accounts, at, "not_service_accounts",
                    match.not_service_accounts) &&
           blocks(draft.source_ips, at, "source_ips", match.source_ips) &&
           blocks(draft.not_source_ips, at, "not_source_ips", match.not_source_ips) &&
           blocks(draft.destination_ips, at, "destination_ips", match.destination_ips) &&
           blocks(draft.not_destination_ips, at, "not_destination_ips",
                  match.not_destination_ips) &&
           ports(draft.destination_ports, at, "destination_ports", match.destination_ports) &&
           ports(draft.not_destination_ports, at, "not_destination_ports",
                 match.not_destination_ports);
  }

  bool texts(const std::vector<StringMatchDraft>& drafts, const std::string& at, const char* field,
             std::vector<StringMatch>& to) {
    using Kind = StringMatchDraft::Kind;
    return each(drafts, at, field, to,
                [](const StringMatchDraft& draft, StringMatch& made) -> std::string {
                  made.value = draft.value;
                  if (draft.value.size() > kMaxPolicyText) return "a text that is too long";
                  switch (draft.kind) {
                    case Kind::kNone: return "a string match without a type";
                    case Kind::kExact: made.kind = StringMatch::Kind::kExact; break;
                    case Kind::kPrefix: made.kind = StringMatch::Kind::kPrefix; break;
                    case Kind::kSuffix: made.kind = StringMatch::Kind::kSuffix; break;
                    case Kind::kPresence: made.kind = StringMatch::Kind::kPresence; break;
                  }
                  return {};
                });
  }

  bool accounts(const std::vector<ServiceAccountMatch>& drafts, const std::string& at,
                const char* field, std::vector<ServiceAccountMatch>& to) {
    return each(drafts, at, field, to,
                [](const ServiceAccountMatch& draft, ServiceAccountMatch& made) -> std::string {
                  if (draft.ns.size() > kMaxPolicyText ||
                      draft.service_account.size() > kMaxPolicyText) {
                    return "a text that is too long";
                  }
                  made = draft;
                  return {};
                });
  }

  bool blocks(const std::vector<AddressDraft>& drafts, const std::string& at, const char* field,
              std::vector<net::Cidr>& to) {
    return each(drafts, at, field, to,
                [](const AddressDraft& draft, net::Cidr& made) -> std::string {
                  const auto ip = net::IpAddress::from_bytes(std::string_view(draft.bytes));
                  if (!ip) return "an address of " + std::to_string(draft.bytes.size()) + " bytes";
                  const auto block = net::Cidr::make(*ip, draft.length);
                  if (!block) return "a prefix length of " + std::to_string(draft.length);
                  made = *block;
                  return {};
                });
  }

  bool ports(const std::vector<std::uint32_t>& drafts, const std::string& at, const char* field,
             std::vector<std::uint16_t>& to) {
    return each(drafts, at, field, to,
                [](std::uint32_t draft, std::uint16_t& made) -> std::string {
                  if (draft == 0 || draft > 65'535) return "port " + std::to_string(draft);
                  made = static_cast<std::uint16_t>(draft);
                  return {};
                });
  }

  // `make` fills one value, or says what is wrong with it.
  template <class Draft, class Made, class F>
  bool each(const std::vector<Draft>& drafts, const std::string& at, const char* field,
            std::vector<Made>& to, F&& make) {
    if (drafts.empty()) return true;
    if (!count(drafts.size(), at)) return false;
    to.resize(drafts.size());
    for (std::size_t i = 0; i < drafts.size(); ++i) {
      const std::string wrong = make(drafts[i], to[i]);
      if (wrong.empty()) continue;
      problem_ = at + "." + field + "[" + std::to_string(i) + "]: " + wrong;
      return false;
    }
    return true;
  }

  bool count(std::size_t more, const std::string& where) {
    if (more <= kMaxPolicyParts - parts_) {
      parts_ += more;
      return true;
    }
    problem_ = where + ": more than " + std::to_string(kMaxPolicyParts) + " parts in one policy";
    return false;
  }

  std::size_t parts_ = 0;
  std::string problem_;
};

std::string problem_of_name(std::string_view field, const std::string& text) {
  if (text.empty()) return std::string(field) + ": empty";
  if (text.size() > kMaxPolicyName) return std::string(field) + ": longer than 253 bytes";
  if (text.find('/') != text.npos) return std::string(field) + ": holds a '/'";
  return {};
}

std::string problem_of_head(const PolicyDraft& draft) {
  if (!draft.problem.empty()) return draft.problem;
  if (std::string wrong = problem_of_name("name", draft.name); !wrong.empty()) return wrong;
  if (std::string wrong = problem_of_name("namespace", draft.ns); !wrong.empty()) return wrong;
  if (draft.scope < 0 || draft.scope > 2) return "scope: value " + std::to_string(draft.scope);
  if (draft.action < 0 || draft.action > 1) return "action: value " + std::to_string(draft.action);
  return {};
}

Scope scope_of(const PolicyDraft& draft) {
  switch (draft.scope) {
    case 0: return Scope::kGlobal;
    case 1: return Scope::kNamespace;
    case 2: return Scope::kWorkload;
    default: return draft.scope_if_unknown;
  }
}

}  // namespace

Policy compile(const PolicyDraft& draft) {
  Policy policy{.key = draft.ns + "/" + draft.name,
                .ns = draft.ns,
                .name = draft.name,
                .scope = scope_of(draft),
                .scope_known = draft.scope >= 0 && draft.scope <= 2,
                .action = draft.action == 0 ? Action::kAllow : Action::kDeny,
                .dry_run = draft.dry_run};
  policy.problem = problem_of_head(draft);
  if (!policy.usable()) return policy;
  Compiler compiler;
  if (std::optional<std::vector<Rule>> rules = compiler.rules(draft.rules)) {
    policy.any_of = *std::move(rules);
  } else {
    policy.problem = compiler.take_problem();
  }
  return policy;
}

}  // namespace mesh::policy
