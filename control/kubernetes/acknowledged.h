#pragma once
// Acknowledged: who does not trust the roots of now yet, while the root is replaced. Nothing signs
// with the next root, and none is dropped, before nobody is left. Pure.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "control/ca/holders.h"
#include "control/kubernetes/write_queue.h"
#include "control/resource_store.h"

namespace mesh::control::kubernetes {

struct Unacknowledged {
  std::string who;   // "namespace shop", "node node-7"
  std::string what;  // for an operator
};

// `maps`: what is to be written so that every namespace has the roots; a holder that has no use of
// a certificate any more, because its pod is gone, is not waited for.
std::vector<Unacknowledged> unacknowledged(const Snapshot& snapshot, std::string_view roots_pem,
                                           const std::vector<Write>& maps, ca::Holders& holders,
                                           std::int64_t now);

}  // namespace mesh::control::kubernetes
