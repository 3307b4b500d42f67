// Certificates, chains and keys as PEM or DER, as peers and the certificate authority may send
// them.

#include <cstdint>
#include <string_view>

#include "mesh/tls/certificate.h"
#include "mesh/tls/key.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mesh::tls;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto certificate = Certificate::from_der({data, size})) {
    (void)certificate->spiffe_id();
    (void)certificate->serial();
    (void)certificate->is_ca();
  }
  if (const auto chain = CertificateChain::parse_pem(text)) {
    (void)chain->leaf().spiffe_id();
    (void)CertificateChain::parse_pem(chain->to_pem());
  }
  (void)TrustBundle::parse_pem(text);
  (void)PrivateKey::parse_pem(text);
  return 0;
}
