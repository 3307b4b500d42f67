#pragma once
// What a Context holds. Internal to mesh/tls.

#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "mesh/tls/boringssl.h"
#include "mesh/tls/context.h"
#include "mesh/tls/verify.h"

namespace mesh::tls {

inline constexpr std::size_t kVerifiedChainsMax = 4096;

struct FingerprintHash {
  std::size_t operator()(const Fingerprint& print) const noexcept {
    std::size_t hash = 0;
    for (std::size_t i = 0; i < sizeof(hash); ++i) hash = hash << 8 | print[i];
    return hash;
  }
};

struct ContextImpl {
  Role role = Role::kClient;
  bssl::UniquePtr<SSL_CTX> ssl;
  bssl::UniquePtr<X509_STORE> roots;  // null: the peer shows nothing
  std::optional<net::SpiffeId> identity;
  std::optional<std::string> server_name;  // verify by name, not by identity

  // Chains that were verified, by the fingerprint of all that was shown.
  mutable std::mutex mutex;
  mutable std::unordered_map<Fingerprint, VerifiedChain, FingerprintHash> verified;
  mutable Context::CacheCounts counts;

  // The identity rules beyond the chain come after this, per session.
  Result<VerifiedChain> judge(const STACK_OF(CRYPTO_BUFFER) * shown, WallSeconds now) const;
};

// Called by BoringSSL in the middle of the handshake; implemented by the session.
ssl_verify_result_t verify_peer_of_session(SSL* ssl, std::uint8_t* alert);

}  // namespace mesh::tls
