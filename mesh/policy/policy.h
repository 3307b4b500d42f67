#pragma once
// A policy as compile() made it: whole and checked, or unusable and saying why.
//
// any / all alternate by depth, and the names say which: a policy applies when any of its rules
// holds; a rule holds when all of its clauses hold; a clause when any of its matches holds; a match
// when every field that is set holds. Empty has a meaning on the wire, and keeps it:
//   no rules              the policy never applies (ALLOW of nobody: denies all)
//   a rule without clauses, a clause without matches      holds always
//   a match without fields                                never holds

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mesh/net/address.h"
#include "mesh/policy/connection.h"

namespace mesh::policy {

enum class Scope : std::uint8_t { kGlobal, kNamespace, kWorkload };
enum class Action : std::uint8_t { kAllow, kDeny };
std::string_view scope_name(Scope scope);     // "global", "namespace", "workload"
std::string_view action_name(Action action);  // "allow", "deny"

struct StringMatch {
  enum class Kind : std::uint8_t { kExact, kPrefix, kSuffix, kPresence };
  Kind kind = Kind::kExact;
  std::string value = {};  // empty for kPresence

  // kPresence matches every text that is not empty.
  bool matches(std::string_view text) const;
  friend bool operator==(const StringMatch&, const StringMatch&) = default;
};

// Namespace and service account, whatever the trust domain.
struct ServiceAccountMatch {
  std::string ns = {};
  std::string service_account = {};

  friend bool operator==(const ServiceAccountMatch&, const ServiceAccountMatch&) = default;
};

// A caller without identity has the namespace "", and no principal or service account at all: no
// principal matches it, and every not_principals holds for it.
struct Match {
  std::vector<StringMatch> namespaces = {};
  std::vector<StringMatch> not_namespaces = {};
  std::vector<StringMatch> principals = {};
  std::vector<StringMatch> not_principals = {};
  std::vector<ServiceAccountMatch> service_accounts = {};
  std::vector<ServiceAccountMatch> not_service_accounts = {};
  std::vector<net::Cidr> source_ips = {};
  std::vector<net::Cidr> not_source_ips = {};
  std::vector<net::Cidr> destination_ips = {};
  std::vector<net::Cidr> not_destination_ips = {};
  std::vector<std::uint16_t> destination_ports = {};
  std::vector<std::uint16_t> not_destination_ports = {};

  bool empty() const;
  bool holds_for(const Connection& connection) const;
  friend bool operator==(const Match&, const Match&) = default;
};

struct Clause {
  std::vector<Match> any_of = {};

  bool holds_for(const Connection& connection) const;
  friend bool operator==(const Clause&, const Clause&) = default;
};

struct Rule {
  std::vector<Clause> all_of = {};

  bool holds_for(const Connection& connection) const;
  friend bool operator==(const Rule&, const Rule&) = default;
};

struct Policy {
  std::string key = {};  // "namespace/name", how workloads list it and logs name it
  std::string ns = {};
  std::string name = {};
  Scope scope = Scope::kNamespace;
  // False: the scope is a guess, because an unusable policy did not say. If there was an earlier
  // version of the policy, the Catalog takes that one's scope instead.
  bool scope_known = true;
  Action action = Action::kDeny;
  bool dry_run = false;  // evaluated and logged, decides nothing
  std::vector<Rule> any_of = {};
  // Not empty: the policy could not be understood, `any_of` is empty, and whatever is in its scope
  // is denied (unless it is a dry run). Names the field: "rules[0].clauses[1]…: port 70000".
  std::string problem = {};

  bool usable() const { return problem.empty(); }
  bool applies_to(const Connection& connection) const;
  friend bool operator==(const Policy&, const Policy&) = default;
};
using PolicyPtr = std::shared_ptr<const Policy>;

}  // namespace mesh::policy
