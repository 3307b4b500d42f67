#pragma once
// decide(): may this request, or this connection, pass a filter of authorization rules? Pure: it
// logs nothing, waits for nothing, allocates nothing but for joined headers. explain(): the same
// answer with its reasons, for people.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mesh/net/address.h"
#include "waypoint/config/rbac.h"
#include "waypoint/http/request.h"
#include "waypoint/http/value.h"

namespace mesh::waypoint::rbac {

// What is known when rules are asked. Borrows.
struct Subject {
  // Null on a TCP chain: then nothing about a request holds, and nothing inverted about one
  // either.
  const http::Request* request = nullptr;
  net::SocketAddress destination = {};    // what was dialled: the service's address and port
  net::SocketAddress direct_remote = {};  // the peer of the connection
  net::IpAddress remote = {};             // the client: the peer, or from trusted headers
  std::string_view peer_principal = {};   // "spiffe://…", proven by TLS; empty: none
  std::string_view local_principal = {};  // our own
  std::string_view server_name = {};      // SNI
  // Metadata by filter: "envoy.filters.http.jwt_authn" holds the claims. Null: none.
  const http::Value* metadata = nullptr;
};

// What a filter said and which policy decided. Borrows names from the filter.
class [[nodiscard]] Verdict {
 public:
  Verdict(bool allowed, std::string_view policy) : allowed_(allowed), policy_(policy) {}
  bool allowed() const { return allowed_; }
  // "ns[shop]-policy[deny]-rule[0]"; empty: none matched.
  std::string_view policy() const { return policy_; }
  // Envoy's response code detail: "rbac_access_denied_matched_policy[none]".
  std::string detail() const;

 private:
  bool allowed_;
  std::string_view policy_;
};

// The names under which rules that cannot be used are reported.
inline constexpr std::string_view kUnusable = "(rules that cannot be used)";

struct Outcome {
  Verdict enforced = Verdict(false, kUnusable);
  // What the shadow rules would have said: a dry run, or the question whether ext_authz is asked
  // (then `policy` is what ExtAuthz::enabled_by_policy looks at). None: there are none.
  std::optional<Verdict> shadow = {};
  bool log = false;  // a LOG rule matched
};

// ALLOW: allowed if any policy matches. DENY: if none does. LOG: always. No rules: allowed.
// Rules that could not be used deny.
Outcome decide(const config::RbacFilter& filter, const Subject& subject);
Verdict decide(const config::RbacRules& rules, const Subject& subject);

// A policy matches when any of its permissions and any of its principals hold.
bool matches(const config::RbacPolicy& policy, const Subject& subject);
bool holds(const config::RbacNode& node, const Subject& subject);

struct PolicyNote {
  std::string policy = {};
  bool matches = false;
  std::string why = {};  // what failed: "permission 0: header :method is \"GET\""
};
struct Explanation {
  bool allowed = false;
  std::string decided_by = {};  // as Verdict::policy(); "none"
  std::string action = {};      // "ALLOW", "DENY", "LOG", "none"
  std::vector<PolicyNote> policies = {};
};
// Always the same answer as decide().enforced.
Explanation explain(const config::RbacFilter& filter, const Subject& subject);

}  // namespace mesh::waypoint::rbac
