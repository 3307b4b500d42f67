#pragma once
// The CA service's two messages as protobuf bytes.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mesh/base/result.h"
#include "mesh/identity/issuer.h"

namespace mesh::xds {

inline constexpr std::size_t kCertificatesMax = 16;         // elements of an answer
inline constexpr std::size_t kCertificateBytesMax = 65536;  // each

struct CertificateRequest {
  std::string csr_pem;
  std::int64_t validity_seconds = 0;
  std::string impersonated_identity;  // the pod's SPIFFE id, asked for by its node
};

std::string encode(const CertificateRequest& request);
// The chain, and the last element as roots. Errors: kMalformed (also: fewer than two elements),
// kTooLarge.
Result<identity::Issued> decode_certificates(std::string_view bytes);

// The server's side, for simulations and tests.
Result<CertificateRequest> decode_certificate_request(std::string_view bytes);
std::string encode_certificates(const std::vector<std::string>& cert_chain);

}  // namespace mesh::xds
