#pragma once
// Trust domains that count as ours: the mesh's own, and its aliases while it is being renamed.
// Pure.
//
// A principal of any of them, in a policy, stands for the same workload under each of them: so a
// policy written for the old name goes on matching, whichever name a certificate has. As with the
// incumbent, "cluster.local" is our own domain too, whatever that is called.

#include <string>
#include <vector>

#include "control/world.h"

namespace mesh::control {

// Our own first; each once.
std::vector<std::string> trust_domains(const Settings& settings);

// The policy with every principal in it under every name of its trust domain. Principals with a
// wildcard in the trust domain, and those of strangers, stay as they are.
manifest::AuthorizationPolicy under_all_names(manifest::AuthorizationPolicy policy,
                                              const Settings& settings);

}  // namespace mesh::control
