#pragma once
// compile(): from what the wire said to a Policy, all or nothing.
//
// A draft holds the wire's values one for one, and unchecked. Nothing in it is ever dropped: a
// draft with one bad value is a policy that denies its scope, because a DENY that lost a part may
// let everybody in, and so may an ALLOW.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "mesh/policy/policy.h"

namespace mesh::policy {

struct StringMatchDraft {
  enum class Kind : std::uint8_t { kNone, kExact, kPrefix, kSuffix, kPresence };
  Kind kind = Kind::kNone;
  std::string value = {};
};

struct AddressDraft {
  std::string bytes = {};  // 4 or 16, network order
  std::uint32_t length = 0;
};

struct MatchDraft {
  std::vector<StringMatchDraft> namespaces = {};
  std::vector<StringMatchDraft> not_namespaces = {};
  std::vector<StringMatchDraft> principals = {};
  std::vector<StringMatchDraft> not_principals = {};
  std::vector<ServiceAccountMatch> service_accounts = {};
  std::vector<ServiceAccountMatch> not_service_accounts = {};
  std::vector<AddressDraft> source_ips = {};
  std::vector<AddressDraft> not_source_ips = {};
  std::vector<AddressDraft> destination_ips = {};
  std::vector<AddressDraft> not_destination_ips = {};
  std::vector<std::uint32_t> destination_ports = {};
  std::vector<std::uint32_t> not_destination_ports = {};
};

struct ClauseDraft {
  std::vector<MatchDraft> matches = {};
};
struct RuleDraft {
  std::vector<ClauseDraft> clauses = {};
};

struct PolicyDraft {
  std::string name = {};
  std::string ns = {};
  std::int64_t scope = 1;   // as on the wire: 0 global, 1 namespace, 2 workload
  std::int64_t action = 1;  // 0 allow, 1 deny
  bool dry_run = false;
  std::vector<RuleDraft> rules = {};
  // What the decoder could not understand; not empty makes the policy unusable.
  std::string problem = {};
  // What an unusable policy denies if `scope` is none of the three and there was none before.
  Scope scope_if_unknown = Scope::kNamespace;
};

inline constexpr std::size_t kMaxPolicyParts = 65'536;  // rules, clauses, matches, values
inline constexpr std::size_t kMaxPolicyText = 2'048;    // bytes of one string
inline constexpr std::size_t kMaxPolicyName = 253;      // bytes of a name, and of a namespace

// Total: always a Policy. See Policy::problem.
// Limits: those above; beyond them the policy is unusable.
Policy compile(const PolicyDraft& draft);

}  // namespace mesh::policy
