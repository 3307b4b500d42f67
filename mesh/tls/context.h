#pragma once
// Context: everything a handshake needs that does not change between handshakes. Built once per
// identity and certificate, shared by all its connections; building one costs as much as several
// handshakes.

#include <memory>
#include <optional>
#include <string>

#include "mesh/base/result.h"
#include "mesh/net/spiffe_id.h"
#include "mesh/tls/certificate.h"
#include "mesh/tls/key.h"

namespace mesh::tls {

enum class Role : std::uint8_t { kClient, kServer };

// What a workload shows to its peers, and whom it trusts.
struct Credentials {
  CertificateChain chain;
  PrivateKey key;
  TrustBundle roots;
};

// A client that verifies a server by name, as gRPC to the control plane does.
struct NamedServer {
  TrustBundle roots;
  std::string name;  // DNS name (sent as SNI) or IP address: a SAN of that type must match
  std::optional<Credentials> client = std::nullopt;  // shown if the server asks
};

struct ContextImpl;  // SSL_CTX and the cache of verified chains, hidden

// TLS 1.3 only, AES-GCM, groups X25519, P-256, P-384, X25519MLKEM768, ALPN "h2", no resumption.
// Threads: any; immutable but for its cache of verified chains, which has a lock of its own.
// Limits: the cache holds 4 096 chains and is emptied when full.
class Context {
 public:
  // The mesh's side of HBONE. A server demands a certificate from the client and accepts identities
  // of its own trust domain; a client accepts the identities that its Session names.
  // Errors: kMalformed (key does not match, leaf without a SPIFFE id), kUntrusted (CA as leaf).
  static Result<std::shared_ptr<const Context>> for_mesh(Role role, const Credentials& credentials);
  static Result<std::shared_ptr<const Context>> for_named_server(const NamedServer& server);
  // A server that asks no certificate of its clients; for control planes in tests.
  static Result<std::shared_ptr<const Context>> for_open_server(const CertificateChain& chain,
                                                                const PrivateKey& key);

  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  Role role() const;
  // Our own identity, where there is one.
  const std::optional<net::SpiffeId>& identity() const;
  // How many chains were verified in full, and how many were known already.
  struct CacheCounts {
    std::uint64_t verified = 0;
    std::uint64_t known = 0;
  };
  CacheCounts cache_counts() const;

  const ContextImpl& impl() const { return *impl_; }

 private:
  explicit Context(std::unique_ptr<ContextImpl> impl);
  std::unique_ptr<ContextImpl> impl_;
};

}  // namespace mesh::tls
