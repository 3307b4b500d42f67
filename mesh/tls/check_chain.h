#pragma once
// Checking a chain that somebody gave us to show, before we show it.

#include "mesh/base/result.h"
#include "mesh/tls/certificate.h"
#include "mesh/tls/context.h"

namespace mesh::tls {

// What was found along the way to a root: the time in which all of it is valid.
struct ChainWindow {
  WallSeconds not_before{};
  WallSeconds not_after{};
};

// Whether a peer that trusts `roots` would take `chain` at `now` from a peer in role `shown_as`: it
// leads to a root, is valid, may be used so, is no CA's own, and names exactly one SPIFFE id.
// Errors: kUntrusted, kExpired, kWrongIdentity.
Result<ChainWindow> check_chain(const CertificateChain& chain, const TrustBundle& roots,
                                Role shown_as, WallSeconds now);

}  // namespace mesh::tls
