#include "mesh/tls/certificate.h"

#include <openssl/asn1.h>
#include <openssl/bytestring.h>
#include <openssl/err.h>
#include <openssl/mem.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

#include <optional>

#include "mesh/tls/boringssl.h"

namespace mesh::tls {
namespace {

std::optional<WallSeconds> to_time(const ASN1_TIME* time) {
  std::int64_t seconds = 0;
  if (ASN1_TIME_to_posix(time, &seconds) != 1) return std::nullopt;
  return WallSeconds(std::chrono::seconds(seconds));
}

std::string der_to_pem(const char* label, std::span<const std::uint8_t> der) {
  const bssl::UniquePtr<BIO> out(BIO_new(BIO_s_mem()));
  MESH_CHECK(out &&
             PEM_write_bio(out.get(), label, "", der.data(), static_cast<long>(der.size())) > 0);
  const std::uint8_t* text = nullptr;
  std::size_t size = 0;
  MESH_CHECK(BIO_mem_contents(out.get(), &text, &size) == 1);
  return std::string(reinterpret_cast<const char*>(text), size);
}

bool only_space(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

// Every CERTIFICATE block of `pem`; text between blocks is allowed, as files from tools have it.
Result<std::vector<Certificate>> parse_all(std::string_view pem, std::size_t limit) {
  if (pem.size() > kPemBytesMax) return failed(Reason::kTooLarge, "certificate file");
  const bssl::UniquePtr<BIO> in(BIO_new_mem_buf(pem.data(), static_cast<ossl_ssize_t>(pem.size())));
  MESH_CHECK(in != nullptr);
  std::vector<Certificate> all;
  for (;;) {
    char* name = nullptr;
    char* header = nullptr;
    std::uint8_t* data = nullptr;
    long length = 0;
    if (PEM_read_bio(in.get(), &name, &header, &data, &length) != 1) break;
    const bssl::UniquePtr<char> name_owner(name);
    const bssl::UniquePtr<char> header_owner(header);
    const bssl::UniquePtr<std::uint8_t> data_owner(data);
    const std::string_view label(name);
    if (label != "CERTIFICATE") return failed(Reason::kMalformed, "not a certificate in the file");
    if (all.size() == limit) return failed(Reason::kTooLarge, "certificates in the file");
    TRY(Certificate certificate, Certificate::from_der({data, static_cast<std::size_t>(length)}));
    all.push_back(std::move(certificate));
  }
  const std::uint32_t error = ERR_peek_last_error();
  const bool at_end =
      ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (!at_end) return failed(Reason::kMalformed, "certificate file");
  if (all.empty()) {
    return failed(Reason::kMalformed,
                  only_space(pem) ? "empty certificate file" : "no certificate in the file");
  }
  return all;
}

std::string all_to_pem(const std::vector<Certificate>& all) {
  std::string pem;
  for (const Certificate& certificate : all) pem += certificate.to_pem();
  return pem;
}

}  // namespace

Result<Certificate> Certificate::from_der(std::span<const std::uint8_t> der) {
  if (der.size() > kDerBytesMax) return failed(Reason::kTooLarge, "certificate");
  const std::uint8_t* at = der.data();
  bssl::UniquePtr<X509> x509(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  ERR_clear_error();
  if (!x509 || at != der.data() + der.size()) return failed(Reason::kMalformed, "certificate");

  auto impl = std::make_shared<CertificateImpl>();
  const auto not_before = to_time(X509_get0_notBefore(x509.get()));
  const auto not_after = to_time(X509_get0_notAfter(x509.get()));
  if (!not_before || !not_after) return failed(Reason::kMalformed, "certificate validity");
  impl->not_before = *not_before;
  impl->not_after = *not_after;
  const std::uint32_t flags = X509_get_extension_flags(x509.get());
  ERR_clear_error();
  if ((flags & EXFLAG_INVALID) != 0) return failed(Reason::kMalformed, "certificate extensions");
  // A version 1 certificate has no way to say that it is none.
  impl->is_ca = (flags & (EXFLAG_CA | EXFLAG_V1)) != 0;
  impl->der.assign(der.begin(), der.end());
  SHA256(der.data(), der.size(), impl->fingerprint.data());
  impl->x509 = std::move(x509);
  ERR_clear_error();
  return Certificate(std::move(impl));
}

WallSeconds Certificate::not_before() const { return impl_->not_before; }
WallSeconds Certificate::not_after() const { return impl_->not_after; }
bool Certificate::is_ca() const { return impl_->is_ca; }
const Fingerprint& Certificate::fingerprint() const { return impl_->fingerprint; }
std::span<const std::uint8_t> Certificate::der() const { return impl_->der; }
std::string Certificate::to_pem() const { return der_to_pem("CERTIFICATE", impl_->der); }

std::string Certificate::serial() const {
  const bssl::UniquePtr<BIGNUM> number(
      ASN1_INTEGER_to_BN(X509_get0_serialNumber(impl_->x509.get()), nullptr));
  if (!number) return {};
  const bssl::UniquePtr<char> text(BN_bn2dec(number.get()));
  return text ? std::string(text.get()) : std::string();
}

Result<net::SpiffeId> Certificate::spiffe_id() const {
  int critical = 0;
  const bssl::UniquePtr<GENERAL_NAMES> names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(impl_->x509.get(), NID_subject_alt_name, &critical, nullptr)));
  ERR_clear_error();
  if (!names) {
    // -1: there is none; anything else: more than one extension, or one that does not parse.
    return failed(Reason::kWrongIdentity, critical == -1 ? "certificate without alternative name"
                                                         : "certificate with bad alternative name");
  }
  std::optional<std::string_view> uri;
  for (std::size_t i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    if (uri) return failed(Reason::kWrongIdentity, "certificate with more than one URI");
    const ASN1_IA5STRING* text = name->d.uniformResourceIdentifier;
    uri = std::string_view(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                           static_cast<std::size_t>(ASN1_STRING_length(text)));
  }
  if (!uri) return failed(Reason::kWrongIdentity, "certificate without URI name");
  std::optional<net::SpiffeId> id = net::SpiffeId::parse(*uri);
  if (!id) return failed(Reason::kWrongIdentity, "certificate with a URI that is no identity");
  return *std::move(id);
}

Result<CertificateChain> CertificateChain::parse_pem(std::string_view pem) {
  TRY(std::vector<Certificate> all, parse_all(pem, kChainCertificatesMax));
  return make(std::move(all));
}

Result<CertificateChain> CertificateChain::make(std::vector<Certificate> leaf_first) {
  if (leaf_first.empty()) return failed(Reason::kMalformed, "empty certificate chain");
  if (leaf_first.size() > kChainCertificatesMax) {
    return failed(Reason::kTooLarge, "certificate chain");
  }
  return CertificateChain(std::move(leaf_first));
}

std::string CertificateChain::to_pem() const { return all_to_pem(certificates_); }

Result<TrustBundle> TrustBundle::parse_pem(std::string_view pem) {
  TRY(std::vector<Certificate> all, parse_all(pem, kBundleCertificatesMax));
  return make(std::move(all));
}

Result<TrustBundle> TrustBundle::make(std::vector<Certificate> roots) {
  if (roots.empty()) return failed(Reason::kMalformed, "empty trust bundle");
  if (roots.size() > kBundleCertificatesMax) return failed(Reason::kTooLarge, "trust bundle");
  for (const Certificate& root : roots) {
    if (!root.is_ca()) return failed(Reason::kMalformed, "trust bundle: not a CA");
  }
  return TrustBundle(std::move(roots));
}

std::string TrustBundle::to_pem() const { return all_to_pem(roots_); }

}  // namespace mesh::tls
