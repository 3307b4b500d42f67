#pragma once
// World -> istio.security.Authorization, and which workloads name which of them. Pure.
//
// A ztunnel enforces addresses, ports and identities. What a policy says beyond that is translated
// so that it refuses more, never less:
//   DENY    a condition on HTTP is left out, so the rule denies broadly
//   ALLOW   an alternative with a condition on HTTP is left out, so the rule allows less
//   CUSTOM  nobody can be asked here: denies what it would have asked about
//   AUDIT   enforces nothing anywhere: not sent, and said
//   negative sources in ALLOW   get "and has an identity" beside them, for a caller without one is
//           in no namespace and would be let in
//   a Service as target, without a waypoint   enforced on the pods behind it

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "control/world.h"

namespace istio::security {
class Authorization;
}

namespace mesh::control {

// By "NAMESPACE/NAME", the resource's name.
using Authorizations = std::map<std::string, istio::security::Authorization>;

inline constexpr std::string_view kStaticStrict = "istio_converted_static_strict";

struct PolicyNote {  // something an operator should know about a policy
  manifest::ObjectKey object;
  std::string text;
};

// Adds that policy, if ztunnels have to do with it. Appends to `notes`.
void translate_policy(const World& world, const Settings& settings,
                      const manifest::AuthorizationPolicy& policy, Authorizations& into,
                      std::vector<PolicyNote>& notes);

// Adds what all PeerAuthentications come to.
void translate_peers(const World& world, const Settings& settings, Authorizations& into);

// Of the whole world. Appends to `notes`.
Authorizations translate_policies(const World& world, const Settings& settings,
                                  std::vector<PolicyNote>& notes);

// The names of the policies that a workload must list, because they select it by label or because
// it is behind a targeted Service: sorted, AuthorizationPolicies before converted ones.
class PolicySelection {
 public:
  PolicySelection(const World& world, const Settings& settings);

  // `services` are the resource names ("NAMESPACE/HOSTNAME") that the workload backs.
  std::vector<std::string> of(const std::string& ns, const manifest::Labels& labels,
                              const std::vector<std::string>& services) const;

 private:
  const Settings* settings_;
  // What selects by label in a namespace, and the mode that its other workloads have.
  struct Scope {
    std::vector<const manifest::AuthorizationPolicy*> policies;
    std::vector<const manifest::PeerAuthentication*> peers;  // oldest first
    std::optional<manifest::MtlsMode> mode;                  // none: the root namespace's
  };
  const Scope& scope(const std::string& ns) const;

  std::map<std::string, Scope> scopes_;
  std::map<std::string, std::vector<std::string>> by_service_;
};

}  // namespace mesh::control
