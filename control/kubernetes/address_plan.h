#pragma once
// Addresses for the hosts of ServiceEntries that have none: without one, nobody in the mesh can say
// by a packet which host is meant. Pure: the world in, writes of status.addresses out.
//
// A host gets one address of each family, 240.240.0.0/16 and 2001:2::/48, as with Istio: names are
// resolved to them by ztunnels, and they leave no node. Which one follows from the host's name and
// its namespace, so a lost status comes back the same, unless that one is taken: then the next that
// is free. What was allocated stays while the host does.
//
// Nothing is allocated for an entry with addresses of its own, with resolution NONE (there it is
// the client who says the address), for hosts with a wildcard, and for one that is labelled
// networking.istio.io/enable-autoallocate-ip: "false".
//
// Limits: 65 534 hosts; further ones get none, and are passed over.

#include <vector>

#include "control/kubernetes/write_queue.h"
#include "control/world.h"

namespace mesh::control::kubernetes {

std::vector<Write> plan_addresses(const World& world);

}  // namespace mesh::control::kubernetes
