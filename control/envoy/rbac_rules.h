#pragma once
// One rule of an AuthorizationPolicy as Envoy's RBAC says it. Pure.
//
// The caller's identity is not the TLS peer's (that is the tunnel's, ended elsewhere) but the value
// under kPeerPrincipal that connect_terminate hands on.

#include "control/envoy/catalog.h"

namespace envoy::config::rbac::v3 {
class Policy;
}

namespace mesh::control {

// What a chain can see: on TCP a condition on HTTP is left out of a DENY, which refuses more, and
// takes the whole rule out of an ALLOW.
enum class RbacSight : std::uint8_t { kHttp, kTcp };

// False: the rule is left out (an ALLOW that nothing could meet).
bool fill_rule(const manifest::AuthorizationRule& rule, const std::string& ns, RbacSight sight,
               bool allows, envoy::config::rbac::v3::Policy* into);

// A rule that never matches, for a policy without rules.
void fill_never(envoy::config::rbac::v3::Policy* into);
// A rule that always matches.
void fill_always(envoy::config::rbac::v3::Policy* into);

}  // namespace mesh::control
