#include "mesh/tls/key.h"

#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/err.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "mesh/tls/boringssl.h"

namespace mesh::tls {
namespace {

std::string text_of(BIO* bio) {
  const std::uint8_t* text = nullptr;
  std::size_t size = 0;
  MESH_CHECK(BIO_mem_contents(bio, &text, &size) == 1);
  return std::string(reinterpret_cast<const char*>(text), size);
}

// Refuses to ask for a passphrase: there is no terminal behind a proxy.
int no_passphrase(char*, int, int, void*) { return -1; }

bool add_uri_name(X509_REQ* request, const net::SpiffeId& identity) {
  const std::string uri = identity.to_string();
  bssl::UniquePtr<GENERAL_NAMES> names(GENERAL_NAMES_new());
  bssl::UniquePtr<GENERAL_NAME> name(GENERAL_NAME_new());
  bssl::UniquePtr<ASN1_IA5STRING> text(ASN1_IA5STRING_new());
  if (!names || !name || !text) return false;
  if (ASN1_STRING_set(text.get(), uri.data(), static_cast<ossl_ssize_t>(uri.size())) != 1)
    return false;
  GENERAL_NAME_set0_value(name.get(), GEN_URI, text.release());
  if (!bssl::PushToStack(names.get(), std::move(name))) return false;

  bssl::UniquePtr<X509_EXTENSION> extension(
      X509V3_EXT_i2d(NID_subject_alt_name, /*crit=*/1, names.get()));
  bssl::UniquePtr<STACK_OF(X509_EXTENSION)> extensions(sk_X509_EXTENSION_new_null());
  if (!extension || !extensions) return false;
  if (!bssl::PushToStack(extensions.get(), std::move(extension))) return false;
  return X509_REQ_add_extensions(request, extensions.get()) == 1;
}

}  // namespace

Result<PrivateKey> PrivateKey::generate() {
  const bssl::UniquePtr<EC_KEY> ec(EC_KEY_new_by_curve_name(NID_X9_62_prime256v1));
  auto impl = std::make_shared<PrivateKeyImpl>();
  impl->key.reset(EVP_PKEY_new());
  if (!ec || !impl->key || EC_KEY_generate_key(ec.get()) != 1 ||
      EVP_PKEY_set1_EC_KEY(impl->key.get(), ec.get()) != 1) {
    ERR_clear_error();
    return failed(Reason::kExhausted, "generate key");
  }
  return PrivateKey(std::move(impl));
}

Result<PrivateKey> PrivateKey::parse_pem(std::string_view pem) {
  if (pem.size() > kPemBytesMax) return failed(Reason::kTooLarge, "private key file");
  const bssl::UniquePtr<BIO> in(BIO_new_mem_buf(pem.data(), static_cast<ossl_ssize_t>(pem.size())));
  MESH_CHECK(in != nullptr);
  auto impl = std::make_shared<PrivateKeyImpl>();
  impl->key.reset(PEM_read_bio_PrivateKey(in.get(), nullptr, no_passphrase, nullptr));
  ERR_clear_error();
  if (!impl->key) return failed(Reason::kMalformed, "private key file");
  return PrivateKey(std::move(impl));
}

std::string PrivateKey::to_pem() const {
  const bssl::UniquePtr<BIO> out(BIO_new(BIO_s_mem()));
  MESH_CHECK(out && PEM_write_bio_PKCS8PrivateKey(out.get(), impl_->key.get(), nullptr, nullptr, 0,
                                                  nullptr, nullptr) == 1);
  return text_of(out.get());
}

bool PrivateKey::matches(const Certificate& certificate) const {
  const bssl::UniquePtr<EVP_PKEY> of(X509_get_pubkey(certificate.impl().x509.get()));
  ERR_clear_error();
  return of && EVP_PKEY_cmp(of.get(), impl_->key.get()) == 1;
}

Result<std::string> PrivateKey::signing_request(const net::SpiffeId& identity) const {
  const bssl::UniquePtr<X509_REQ> request(X509_REQ_new());
  const bssl::UniquePtr<BIO> out(BIO_new(BIO_s_mem()));
  MESH_CHECK(request && out);
  const bool made = X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) == 1 &&
                    X509_REQ_set_pubkey(request.get(), impl_->key.get()) == 1 &&
                    add_uri_name(request.get(), identity) &&
                    X509_REQ_sign(request.get(), impl_->key.get(), EVP_sha256()) > 0 &&
                    PEM_write_bio_X509_REQ(out.get(), request.get()) == 1;
  ERR_clear_error();
  if (!made) return failed(Reason::kMalformed, "signing request");
  return text_of(out.get());
}

}  // namespace mesh::tls
