#pragma once
// authorize(): may this connection proceed? Pure: it logs nothing, waits for nothing, allocates
// nothing. explain(): the same answer with its reasons, for people.

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mesh/base/result.h"
#include "mesh/policy/catalog.h"
#include "mesh/policy/connection.h"

namespace mesh::policy {

// Proof that authorize() said yes. Everything that opens a connection to a workload asks for one,
// so the check cannot be forgotten. Borrows nothing: it may outlive the snapshot it was made from.
class Permit {
 private:
  friend class Verdict;
  Permit() {}
};

// What authorize() said, and which policy, or which of the rules below, decided it. Borrows the
// policy's name from the snapshot: copy it if it outlives that.
class [[nodiscard]] Verdict {
 public:
  // A no of somebody else's: the caller was not even worth asking a policy about.
  static Verdict refuse(Reason reason, std::string_view decided_by) {
    return Verdict(false, reason, decided_by);
  }

  std::optional<Permit> permit() const {
    return allowed_ ? std::optional(Permit()) : std::nullopt;
  }
  bool allowed() const { return allowed_; }
  // "namespace/name", or one of the texts below.
  std::string_view decided_by() const { return decided_by_; }
  // Of a no: kDenied (a policy said so) or kPolicyUnusable (a policy is unknown or not understood).
  Reason reason() const { return reason_; }

 private:
  friend Verdict authorize(const Selection& policies, const Connection& connection);
  Verdict(bool allowed, Reason reason, std::string_view decided_by)
      : allowed_(allowed), reason_(reason), decided_by_(decided_by) {}
  bool allowed_;
  Reason reason_;
  std::string_view decided_by_;
};

inline constexpr std::string_view kNoPolicies = "(no policy applies here)";
inline constexpr std::string_view kNotAllowed = "(no allow policy matched)";

// In this order:
//   1. a policy that is listed but unknown, or not usable, denies;
//   2. a deny policy that applies denies;
//   3. without any allow policy the connection is allowed;
//   4. an allow policy that applies allows;
//   5. everything else is denied.
// Dry-run policies decide nothing.
Verdict authorize(const Selection& policies, const Connection& connection);

// What the dry-run policies alone would have denied: the name of the one that would, or
// kNotAllowed. None: nothing, or there are none. For the log; look only when a log would show it.
std::optional<std::string_view> dry_run_denial(const Selection& policies,
                                               const Connection& connection);

// Why one policy did or did not decide.
struct PolicyNote {
  enum class Outcome : std::uint8_t { kApplies, kDoesNotApply, kUnusable, kUnknown };
  std::string policy = {};  // key
  Scope scope = Scope::kNamespace;
  Action action = Action::kDeny;
  bool dry_run = false;
  Outcome outcome = Outcome::kUnusable;
  // kApplies: the rule that holds, counted from 0.
  std::optional<std::size_t> rule = {};
  // kDoesNotApply: for each rule what failed; kUnusable: the problem.
  //   "rule 0: port 8080 is not one of 7001, 7002"
  std::vector<std::string> why = {};
};
std::string_view outcome_name(PolicyNote::Outcome outcome);

struct Explanation {
  bool allowed = false;
  Reason reason = Reason::kDenied;
  std::string decided_by = {};         // as Verdict::decided_by()
  std::optional<std::size_t> rule = {};  // the deciding policy's rule
  std::string summary = {};            // one line
  std::vector<PolicyNote> policies = {};  // each that was looked at: global, namespace, listed
};
// Always the same answer as authorize(). Allocates.
Explanation explain(const Selection& policies, const Connection& connection);

}  // namespace mesh::policy
