#pragma once
// Certificate authority: what signs, and the certificates signed with it. Uses OpenSSL. Issuing
// says nothing about who may ask: that is ca_server.h.

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mesh/base/result.h"
#include "mesh/net/spiffe_id.h"

namespace mesh::control {

struct KeyPair {
  std::string certificate_pem;
  std::string key_pem;
};

// What signs, as PEM texts.
struct AuthorityMaterial {
  std::string certificate, key;
  std::string chain;  // between the certificate and a root; may be empty, may have both in it
  std::string roots;  // all that is to be trusted, the own one too
};

// A self-signed root, for ten years.
KeyPair make_root(const std::string& trust_domain);

// Threads: issuing from any.
// Limits: a signing request of 16 KiB; 16 certificates in a chain, 32 roots.
class CertificateAuthority {
 public:
  // Opens FOLDER/root-cert.pem (0644) and root-key.pem (0600), or makes both when neither is there.
  // Errors: kSystem (files), kMalformed (not a certificate and its key), kUntrusted (the key file
  // can be read by others), kExpired.
  static Result<std::unique_ptr<CertificateAuthority>> open(const std::string& folder,
                                                            const std::string& trust_domain);
  // Errors: kMalformed: not certificates, not its key, not an authority; kUntrusted: the
  // certificate does not lead to one of the roots; kExpired: something on the way there has.
  static Result<std::unique_ptr<CertificateAuthority>> from(const AuthorityMaterial& material);
  ~CertificateAuthority();

  // What is to be trusted: one root, or several one after the other.
  const std::string& root_pem() const { return root_pem_; }
  // What comes between a certificate issued here and the root; each a PEM block; empty for a root.
  const std::vector<std::string>& intermediates() const { return intermediates_; }
  // When the first of the signing certificate and what is above it ends; seconds since 1970.
  std::int64_t expires() const { return expires_; }

  // A certificate for the key of the PEM signing request and for `id`, whatever the request asks to
  // be called: its only name is the URI. Valid from a little before now, for `lifetime`.
  // Errors: kMalformed: not one signing request; kWrongIdentity: it asks for another name, to be an
  // authority, or for a key that is not ECDSA on P-256.
  Result<std::string> issue(const std::string& csr_pem, const net::SpiffeId& id,
                            std::chrono::seconds lifetime) const;

  // A key and certificate for a server of ours, with the intermediates. `names` are DNS names and
  // IP addresses.
  Result<KeyPair> issue_server(const std::vector<std::string>& names) const;

 private:
  struct Impl;
  explicit CertificateAuthority(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
  std::string root_pem_;
  std::vector<std::string> intermediates_;
  std::int64_t expires_ = 0;
};

}  // namespace mesh::control
