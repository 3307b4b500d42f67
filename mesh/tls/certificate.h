#pragma once
// X.509 certificates as the mesh uses them: parsed once, immutable, and bound to a SPIFFE identity.
//
// Times are seconds of the wall clock; nothing here reads a clock.

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mesh/base/result.h"
#include "mesh/net/spiffe_id.h"

namespace mesh::tls {

inline constexpr std::size_t kPemBytesMax = 256 * 1024;    // of one PEM text
inline constexpr std::size_t kDerBytesMax = 16 * 1024;     // of one certificate
inline constexpr std::size_t kChainCertificatesMax = 8;    // leaf and intermediates
inline constexpr std::size_t kBundleCertificatesMax = 64;  // roots

using WallSeconds = std::chrono::sys_seconds;
using Fingerprint = std::array<std::uint8_t, 32>;  // SHA-256 of the DER

struct CertificateImpl;  // X509, hidden

// One certificate. Cheap to copy: shared and immutable.
class Certificate {
 public:
  // Errors: kMalformed, kTooLarge.
  static Result<Certificate> from_der(std::span<const std::uint8_t> der);

  WallSeconds not_before() const;
  WallSeconds not_after() const;
  bool is_ca() const;  // basicConstraints CA, or v1
  const Fingerprint& fingerprint() const;
  std::string serial() const;  // decimal, as the config dump prints it
  std::span<const std::uint8_t> der() const;
  std::string to_pem() const;

  // Exactly one URI SAN, and it is a SPIFFE id of the mesh's shape.
  // Errors: kWrongIdentity; `during` says which rule broke: no subject alternative name, no URI
  // among them, more than one URI, or a URI that is not such an id.
  Result<net::SpiffeId> spiffe_id() const;

  const CertificateImpl& impl() const { return *impl_; }

 private:
  explicit Certificate(std::shared_ptr<const CertificateImpl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const CertificateImpl> impl_;
};

// A leaf, then its intermediates, in the order they are shown to a peer.
class CertificateChain {
 public:
  // Every certificate of `pem`, leaf first. Errors: kMalformed (nothing there, or anything but
  // certificates), kTooLarge.
  static Result<CertificateChain> parse_pem(std::string_view pem);
  // At least one. Errors: kMalformed, kTooLarge.
  static Result<CertificateChain> make(std::vector<Certificate> leaf_first);

  const Certificate& leaf() const { return certificates_.front(); }
  const std::vector<Certificate>& certificates() const { return certificates_; }
  std::string to_pem() const;

 private:
  explicit CertificateChain(std::vector<Certificate> all) : certificates_(std::move(all)) {}
  std::vector<Certificate> certificates_;
};

// The roots that peers' chains must lead to.
class TrustBundle {
 public:
  // Errors: kMalformed (also when a certificate is not a CA), kTooLarge.
  static Result<TrustBundle> parse_pem(std::string_view pem);
  static Result<TrustBundle> make(std::vector<Certificate> roots);

  const std::vector<Certificate>& roots() const { return roots_; }
  std::string to_pem() const;

 private:
  explicit TrustBundle(std::vector<Certificate> roots) : roots_(std::move(roots)) {}
  std::vector<Certificate> roots_;
};

}  // namespace mesh::tls
