#include "mesh/tls/verify.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <string_view>

#include "mesh/net/address.h"
#include "mesh/tls/boringssl.h"

namespace mesh::tls {
namespace {

// The same root name with another key: the incumbent's verifier finds the issuer and its signature
// wrong, and says decrypt_error; alert_for() tells the two apart by this text.
constexpr const char* kBadSignature = "certificate signature";

std::unexpected<Error> refusal(int verify_error) {
  switch (verify_error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return failed(Reason::kExpired, "certificate expired");
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return failed(Reason::kExpired, "certificate not yet valid");
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return failed(Reason::kUntrusted, kBadSignature);
    case X509_V_ERR_INVALID_PURPOSE:
      return failed(Reason::kUntrusted, "certificate for another purpose");
    case X509_V_ERR_INVALID_CA:
    case X509_V_ERR_PATH_LENGTH_EXCEEDED:
    case X509_V_ERR_KEYUSAGE_NO_CERTSIGN:
      return failed(Reason::kUntrusted, "certificate issued by a non-CA");
    case X509_V_ERR_CERT_CHAIN_TOO_LONG:
      return failed(Reason::kTooLarge, "certificate chain");
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return failed(Reason::kWrongIdentity, "certificate for another name");
    default:
      return failed(Reason::kUntrusted, "certificate of an unknown authority");
  }
}

bool set_name(X509_VERIFY_PARAM* param, const std::string& name) {
  if (const auto ip = net::IpAddress::parse(name)) {
    return X509_VERIFY_PARAM_set1_ip(param, ip->bytes().data(), ip->bytes().size()) == 1;
  }
  X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  return X509_VERIFY_PARAM_set1_host(param, name.data(), name.size()) == 1;
}

void narrow(VerifiedChain& window, const STACK_OF(X509) * chain) {
  for (std::size_t i = 0; i < sk_X509_num(chain); ++i) {
    std::int64_t from = 0;
    std::int64_t until = 0;
    X509* certificate = sk_X509_value(chain, i);
    if (ASN1_TIME_to_posix(X509_get0_notBefore(certificate), &from) != 1 ||
        ASN1_TIME_to_posix(X509_get0_notAfter(certificate), &until) != 1) {
      window.not_after = WallSeconds{};  // never valid: such a chain is not cached
      return;
    }
    window.not_before = std::max(window.not_before, WallSeconds(std::chrono::seconds(from)));
    window.not_after = std::min(window.not_after, WallSeconds(std::chrono::seconds(until)));
  }
}

}  // namespace

Result<VerifiedChain> verify_chain(X509_STORE* roots, std::span<const Certificate> shown, Role peer,
                                   const std::string* name, WallSeconds now) {
  if (shown.empty()) return failed(Reason::kNoCertificate, "no certificate shown");
  if (shown.size() > kChainCertificatesMax) return failed(Reason::kTooLarge, "certificate chain");

  const bssl::UniquePtr<X509_STORE_CTX> context(X509_STORE_CTX_new());
  const bssl::UniquePtr<STACK_OF(X509)> intermediates(sk_X509_new_null());
  MESH_CHECK(context && intermediates);
  for (const Certificate& certificate : shown.subspan(1)) {
    MESH_CHECK(bssl::PushToStack(intermediates.get(), bssl::UpRef(certificate.impl().x509)));
  }
  MESH_CHECK(X509_STORE_CTX_init(context.get(), roots, shown[0].impl().x509.get(),
                                 intermediates.get()) == 1);
  X509_VERIFY_PARAM* param = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_time_posix(param, now.time_since_epoch().count());
  X509_VERIFY_PARAM_set_purpose(
      param, peer == Role::kClient ? X509_PURPOSE_SSL_CLIENT : X509_PURPOSE_SSL_SERVER);
  X509_VERIFY_PARAM_set_depth(param, static_cast<int>(kChainCertificatesMax));
  X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);  // every root given is an anchor
  if (name != nullptr && !set_name(param, *name)) {
    ERR_clear_error();
    return failed(Reason::kWrongIdentity, "name of the server");
  }

  const bool good = X509_verify_cert(context.get()) == 1;
  const int error = X509_STORE_CTX_get_error(context.get());
  ERR_clear_error();
  if (!good) return refusal(error);

  VerifiedChain verified{
      .identity = std::nullopt, .not_before = WallSeconds::min(), .not_after = WallSeconds::max()};
  narrow(verified, X509_STORE_CTX_get0_chain(context.get()));
  if (name == nullptr) {
    if (shown[0].is_ca()) return failed(Reason::kUntrusted, "a CA certificate as leaf");
    TRY(verified.identity, shown[0].spiffe_id());
  }
  return verified;
}

std::uint8_t alert_for(const Error& error) {
  switch (error.reason) {
    case Reason::kExpired:
      return SSL_AD_CERTIFICATE_EXPIRED;
    case Reason::kNoCertificate:
      return SSL_AD_CERTIFICATE_REQUIRED;
    case Reason::kUntrusted:
      return std::string_view(error.during) == kBadSignature ? SSL_AD_DECRYPT_ERROR
                                                             : SSL_AD_UNKNOWN_CA;
    case Reason::kMalformed:
      return SSL_AD_BAD_CERTIFICATE;
    default:
      return SSL_AD_CERTIFICATE_UNKNOWN;
  }
}

}  // namespace mesh::tls
