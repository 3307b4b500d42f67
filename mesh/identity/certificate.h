#pragma once
// Certificate: what one identity speaks with, complete and checked; immutable, shared by all
// threads.

#include <memory>

#include "mesh/base/result.h"
#include "mesh/identity/issuer.h"
#include "mesh/io/ring.h"
#include "mesh/net/spiffe_id.h"
#include "mesh/tls/certificate.h"
#include "mesh/tls/context.h"
#include "mesh/tls/key.h"

namespace mesh::identity {

struct Certificate {
  net::SpiffeId id;
  tls::CertificateChain chain;
  tls::TrustBundle roots;  // whom it trusts in peers
  // Of both roles, made once: every handshake of this identity uses them.
  std::shared_ptr<const tls::Context> client;
  std::shared_ptr<const tls::Context> server;

  // When the first certificate of the chain, root included, expires.
  io::WallTime not_after;

  io::WallTime not_before() const { return chain.leaf().not_before(); }
  bool valid_at(io::WallTime when) const { return when < not_after; }
};

// Checks what a CA answered for `id` and `key`: the leaf is for exactly that identity and that key,
// is no CA, is valid at `now` (a notBefore up to kClockTolerance ahead is accepted: clocks differ),
// and leads to one of the roots. Errors: kMalformed, kTooLarge, kWrongIdentity, kExpired,
// kUntrusted.
inline constexpr io::Duration kClockTolerance = std::chrono::seconds(10);
Result<std::shared_ptr<const Certificate>> make_certificate(const net::SpiffeId& id,
                                                            const tls::PrivateKey& key,
                                                            const Issued& issued, io::WallTime now);

}  // namespace mesh::identity
