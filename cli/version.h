#pragma once
// `weft version`.

#include "cli/session.h"

namespace mesh::cli {

// With `features`: what this kernel offers beyond the floor, and what of it is used.
int version(const Session& session, bool features);

}  // namespace mesh::cli
