#pragma once
// Judging a peer's certificate chain. Internal to mesh/tls.

#include <openssl/x509.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "mesh/base/result.h"
#include "mesh/net/spiffe_id.h"
#include "mesh/tls/certificate.h"
#include "mesh/tls/context.h"

namespace mesh::tls {

// A chain that leads to a root: whom it names, and when that is true.
struct VerifiedChain {
  std::optional<net::SpiffeId> identity;  // none when verified by name instead
  WallSeconds not_before{};               // the narrowest window of the chain the verifier built
  WallSeconds not_after{};
};

// Verifies signatures, validity at `now`, CA constraints and extended key usage of `shown` (leaf
// first, at most kChainCertificatesMax) for a peer of role `peer`. With `name` the leaf must carry
// that DNS name or IP address; without, exactly one SPIFFE id, and it must not be a CA.
// Errors: kUntrusted, kExpired, kWrongIdentity, kNoCertificate, kTooLarge, kMalformed.
Result<VerifiedChain> verify_chain(X509_STORE* roots, std::span<const Certificate> shown, Role peer,
                                   const std::string* name, WallSeconds now);

// The alert that tells the peer.
std::uint8_t alert_for(const Error& error);

}  // namespace mesh::tls
