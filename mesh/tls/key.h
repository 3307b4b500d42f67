#pragma once
// Private keys, and the signing requests made with them.

#include <memory>
#include <string>
#include <string_view>

#include "mesh/base/result.h"
#include "mesh/net/spiffe_id.h"
#include "mesh/tls/certificate.h"

namespace mesh::tls {

struct PrivateKeyImpl;  // EVP_PKEY, hidden

// Cheap to copy: shared and immutable. Never printed or dumped.
class PrivateKey {
 public:
  // A fresh ECDSA P-256 key.
  static Result<PrivateKey> generate();
  // PKCS#8 or SEC1, unencrypted. Errors: kMalformed, kTooLarge.
  static Result<PrivateKey> parse_pem(std::string_view pem);
  // PKCS#8. The caller keeps it secret.
  std::string to_pem() const;

  bool matches(const Certificate& certificate) const;

  // A PEM certificate request: empty subject, one URI SAN (critical), SHA-256. What the CA of the
  // mesh expects; it sets everything else itself.
  Result<std::string> signing_request(const net::SpiffeId& identity) const;

  const PrivateKeyImpl& impl() const { return *impl_; }

 private:
  explicit PrivateKey(std::shared_ptr<const PrivateKeyImpl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const PrivateKeyImpl> impl_;
};

}  // namespace mesh::tls
