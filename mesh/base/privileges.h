#pragma once
// Giving up what a program does not need of root, for good.

#include <span>
#include <string>

#include "mesh/base/result.h"

namespace mesh {

// Keeps of the process's capabilities (CAP_…) those in `kept` that it has, and gives up all others:
// effective, permitted, inheritable, ambient, and the bounding set where that is allowed; sets
// no_new_privs, so that nothing it might execute gets them back. Call it before there is a second
// thread: each thread has its own, and a new one has its maker's.
// Errors: kSystem. Then the program must not go on.
Result<Done> keep_capabilities(std::span<const int> kept);

// Those of `needed` that the process has not, by name: "CAP_NET_ADMIN, CAP_SYS_ADMIN"; empty: none.
// Of the ones that nobody has asked for yet there is only the number.
std::string missing_capabilities(std::span<const int> needed);

// As many open descriptors as the process may allow itself.
void raise_descriptor_limit();

}  // namespace mesh
