// Signing requests. The first byte chooses: 'P' the PEM itself; 'D' a request in DER, which gets
// the PEM around it; 'S' a request in DER that is signed anew with a key of ours, so that what
// stands behind the check of its signature is reached too. Whatever a request asks for: a
// certificate names the identity it was made for and nothing else.

#include <stdlib.h>

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "control/certificates.h"
#include "mesh/base/check.h"

namespace {

using namespace mesh;

const control::CertificateAuthority& authority() {
  static const std::unique_ptr<control::CertificateAuthority> kAuthority = [] {
    char folder[] = "/tmp/weft-fuzz-XXXXXX";
    MESH_CHECK(::mkdtemp(folder) != nullptr);
    auto made = control::CertificateAuthority::open(folder, "cluster.local");
    std::filesystem::remove_all(folder);
    MESH_CHECK(made.has_value());
    return *std::move(made);
  }();
  return *kAuthority;
}

std::string as_pem(X509_REQ* request) {
  BIO* bio = BIO_new(BIO_s_mem());
  MESH_CHECK(bio != nullptr);
  std::string pem;
  if (PEM_write_bio_X509_REQ(bio, request) == 1) {
    char* text = nullptr;
    const long length = BIO_get_mem_data(bio, &text);
    pem.assign(text, static_cast<std::size_t>(length));
  }
  BIO_free(bio);
  return pem;
}

std::string from_der(std::string_view der, bool sign) {
  static EVP_PKEY* const kKey = EVP_EC_gen("P-256");
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  X509_REQ* request = d2i_X509_REQ(nullptr, &at, static_cast<long>(der.size()));
  std::string pem;
  if (request != nullptr) {
    const bool is_signed = !sign || (X509_REQ_set_pubkey(request, kKey) == 1 &&
                                     X509_REQ_sign(request, kKey, EVP_sha256()) > 0);
    if (is_signed) pem = as_pem(request);
    X509_REQ_free(request);
  }
  ERR_clear_error();
  return pem;
}

void check_certificate(const std::string& pem, const std::string& uri) {
  BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  X509* certificate = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  MESH_CHECK(certificate != nullptr);
  MESH_CHECK(X509_check_ca(certificate) == 0);
  auto* names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  MESH_CHECK(names != nullptr && sk_GENERAL_NAME_num(names) == 1);
  const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, 0);
  MESH_CHECK(name->type == GEN_URI);
  const ASN1_IA5STRING* text = name->d.uniformResourceIdentifier;
  MESH_CHECK(std::string_view(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                              static_cast<std::size_t>(ASN1_STRING_length(text))) == uri);
  GENERAL_NAMES_free(names);
  X509_free(certificate);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto id = *net::SpiffeId::parse("spiffe://cluster.local/ns/shop/sa/web");
  const std::string pem = data[0] == 'P' ? std::string(rest) : from_der(rest, data[0] == 'S');
  const auto certificate = authority().issue(pem, id, std::chrono::seconds(60));
  if (certificate) check_certificate(*certificate, id.to_string());
  MESH_CHECK(ERR_peek_error() == 0);
  return 0;
}
