#include "control/signing_request_for_tests.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "mesh/base/check.h"

namespace mesh::control {
namespace {

EVP_PKEY* make_key(SigningRequest::KeyKind kind) {
  switch (kind) {
    case SigningRequest::KeyKind::kP384:
      return EVP_EC_gen("P-384");
    case SigningRequest::KeyKind::kRsa:
      return EVP_RSA_gen(1024);
    case SigningRequest::KeyKind::kEd25519:
      return EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
    default:
      return EVP_EC_gen("P-256");
  }
}

}  // namespace

std::string make_signing_request(const SigningRequest& options) {
  EVP_PKEY* key = make_key(options.key);
  X509_REQ* request = X509_REQ_new();
  MESH_CHECK(key != nullptr && X509_REQ_set_pubkey(request, key) == 1);
  STACK_OF(X509_EXTENSION)* extensions = sk_X509_EXTENSION_new_null();
  const auto add = [&](int nid, const std::string& value) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str());
    MESH_CHECK(extension != nullptr);
    sk_X509_EXTENSION_push(extensions, extension);
  };
  std::string names = options.uri.empty() ? "" : "URI:" + options.uri;
  if (!options.other_name.empty()) names += (names.empty() ? "" : ",") + options.other_name;
  if (!names.empty()) add(NID_subject_alt_name, names);
  if (options.authority) add(NID_basic_constraints, "critical,CA:TRUE");
  MESH_CHECK(X509_REQ_add_extensions(request, extensions) == 1);
  sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  const bool has_digest = options.key != SigningRequest::KeyKind::kEd25519;
  MESH_CHECK(X509_REQ_sign(request, key, has_digest ? EVP_sha256() : nullptr) > 0);
  if (options.bad_signature) {  // over another key
    EVP_PKEY* other = make_key(options.key);
    MESH_CHECK(X509_REQ_sign(request, other, EVP_sha256()) > 0);
    MESH_CHECK(X509_REQ_set_pubkey(request, key) == 1);
    EVP_PKEY_free(other);
  }
  BIO* bio = BIO_new(BIO_s_mem());
  MESH_CHECK(PEM_write_bio_X509_REQ(bio, request) == 1);
  char* data = nullptr;
  const long length = BIO_get_mem_data(bio, &data);
  std::string pem(data, static_cast<std::size_t>(length));
  BIO_free(bio);
  X509_REQ_free(request);
  EVP_PKEY_free(key);
  return pem;
}

}  // namespace mesh::control
