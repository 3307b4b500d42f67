#include "mesh/xds/ca_codec.h"

#include <google/protobuf/stubs/logging.h>

#include "mesh/xds/proto/ca.pb.h"

namespace mesh::xds {
namespace {

namespace wire = istio::v1::auth;
// Without protobuf's own complaints on stderr: a peer could write there as fast as it can send.
template <class Message>
bool parse(Message& message, std::string_view bytes) {
  const google::protobuf::LogSilencer silence;
  return message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

constexpr const char* kImpersonated = "ImpersonatedIdentity";

}  // namespace

std::string encode(const CertificateRequest& request) {
  wire::IstioCertificateRequest message;
  message.set_csr(request.csr_pem);
  message.set_validity_duration(request.validity_seconds);
  (*message.mutable_metadata()->mutable_fields())[kImpersonated].set_string_value(
      request.impersonated_identity);
  return message.SerializeAsString();
}

Result<identity::Issued> decode_certificates(std::string_view bytes) {
  constexpr const char* kDuring = "certificate answer";
  wire::IstioCertificateResponse message;
  if (!parse(message, bytes)) {
    return failed(Reason::kMalformed, kDuring);
  }
  const auto count = static_cast<std::size_t>(message.cert_chain_size());
  if (count < 2) return failed(Reason::kMalformed, "certificate answer without a root");
  if (count > kCertificatesMax) return failed(Reason::kTooLarge, kDuring);
  identity::Issued issued;
  for (const std::string& pem : message.cert_chain()) {
    if (pem.size() > kCertificateBytesMax) return failed(Reason::kTooLarge, kDuring);
    std::string& to = &pem == &message.cert_chain(static_cast<int>(count) - 1) ? issued.roots_pem
                                                                               : issued.chain_pem;
    to.append(pem);
    if (!pem.ends_with('\n')) to.push_back('\n');
  }
  return issued;
}

Result<CertificateRequest> decode_certificate_request(std::string_view bytes) {
  wire::IstioCertificateRequest message;
  if (!parse(message, bytes)) {
    return failed(Reason::kMalformed, "certificate request");
  }
  CertificateRequest request{.csr_pem = message.csr(),
                             .validity_seconds = message.validity_duration(),
                             .impersonated_identity = {}};
  const auto& fields = message.metadata().fields();
  if (const auto found = fields.find(kImpersonated); found != fields.end()) {
    request.impersonated_identity = found->second.string_value();
  }
  return request;
}

std::string encode_certificates(const std::vector<std::string>& cert_chain) {
  wire::IstioCertificateResponse message;
  for (const std::string& pem : cert_chain) message.add_cert_chain(pem);
  return message.SerializeAsString();
}

}  // namespace mesh::xds
