#pragma once
// `weft ca status|rotate`: the authority that signs workloads' certificates.

#include "cli/session.h"

namespace mesh::cli {

// kFindings when a replica has a problem with it, or they differ.
int ca_status(const Session& session);
// Asks for a new root; the replicas then replace it in steps, as ca_status shows.
int ca_rotate(const Session& session);

}  // namespace mesh::cli
