#pragma once
// What BoringSSL's types look like from inside mesh/tls. Nothing outside this folder includes it,
// or any <openssl/…> header.

#include <openssl/base.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pool.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "mesh/base/result.h"
#include "mesh/tls/certificate.h"

namespace mesh::tls {

struct CertificateImpl {
  bssl::UniquePtr<X509> x509;
  std::vector<std::uint8_t> der;
  Fingerprint fingerprint{};
  WallSeconds not_before{};
  WallSeconds not_after{};
  bool is_ca = false;
};

struct PrivateKeyImpl {
  bssl::UniquePtr<EVP_PKEY> key;
};

}  // namespace mesh::tls
