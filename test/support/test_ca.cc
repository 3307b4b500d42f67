#include "test/support/test_ca.h"

#include <openssl/ec_key.h>
#include <openssl/err.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "mesh/base/check.h"
#include "mesh/net/address.h"
#include "mesh/tls/boringssl.h"

namespace mesh::test {
namespace {

using tls::Certificate;
using tls::PrivateKey;

PrivateKey new_key() {
  Result<PrivateKey> key = PrivateKey::generate();
  MESH_CHECK(key.has_value());
  return *std::move(key);
}

bssl::UniquePtr<X509_NAME> name_of(const std::string& organisation) {
  bssl::UniquePtr<X509_NAME> name(X509_NAME_new());
  MESH_CHECK(name != nullptr);
  if (!organisation.empty()) {
    MESH_CHECK(
        X509_NAME_add_entry_by_txt(name.get(), "O", MBSTRING_UTF8,
                                   reinterpret_cast<const std::uint8_t*>(organisation.data()),
                                   static_cast<ossl_ssize_t>(organisation.size()), -1, 0) == 1);
  }
  return name;
}

void add_extension(X509* x509, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, x509, x509, nullptr, nullptr, 0);
  const bssl::UniquePtr<X509_EXTENSION> extension(
      X509V3_EXT_nconf_nid(nullptr, &context, nid, value.c_str()));
  MESH_CHECK(extension != nullptr);
  MESH_CHECK(X509_add_ext(x509, extension.get(), -1) == 1);
}

// Names go in one by one: the text form of a list would cut a URI at its commas.
void add_alternative_names(X509* x509, const LeafOptions& options) {
  bssl::UniquePtr<GENERAL_NAMES> names(GENERAL_NAMES_new());
  MESH_CHECK(names != nullptr);
  const auto add = [&](int type, const std::string& value) {
    bssl::UniquePtr<GENERAL_NAME> name(GENERAL_NAME_new());
    bssl::UniquePtr<ASN1_STRING> text(
        ASN1_STRING_type_new(type == GEN_IPADD ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING));
    MESH_CHECK(name && text);
    MESH_CHECK(ASN1_STRING_set(text.get(), value.data(), static_cast<ossl_ssize_t>(value.size())) ==
               1);
    GENERAL_NAME_set0_value(name.get(), type, text.release());
    MESH_CHECK(bssl::PushToStack(names.get(), std::move(name)));
  };
  for (const std::string& uri : options.uris) add(GEN_URI, uri);
  for (const std::string& dns : options.names) add(GEN_DNS, dns);
  for (const std::string& text : options.addresses) {
    const auto ip = net::IpAddress::parse(text);
    MESH_CHECK(ip.has_value());
    add(GEN_IPADD, std::string(ip->bytes().begin(), ip->bytes().end()));
  }
  if (sk_GENERAL_NAME_num(names.get()) == 0) return;
  MESH_CHECK(X509_add1_ext_i2d(x509, NID_subject_alt_name, names.get(), 1, 0) == 1);
}

struct Signer {
  std::string organisation;
  const PrivateKey* key = nullptr;
};

Certificate sign(X509* x509, const Signer& by) {
  MESH_CHECK(X509_set_issuer_name(x509, name_of(by.organisation).get()) == 1);
  MESH_CHECK(X509_sign(x509, by.key->impl().key.get(), EVP_sha256()) > 0);
  std::uint8_t* der = nullptr;
  const int size = i2d_X509(x509, &der);
  MESH_CHECK(size > 0);
  const bssl::UniquePtr<std::uint8_t> owner(der);
  Result<Certificate> certificate = Certificate::from_der({der, static_cast<std::size_t>(size)});
  MESH_CHECK(certificate.has_value());
  return *std::move(certificate);
}

bssl::UniquePtr<X509> blank(const std::string& organisation, EVP_PKEY* key, tls::WallSeconds from,
                            tls::WallSeconds until) {
  bssl::UniquePtr<X509> x509(X509_new());
  MESH_CHECK(x509 && X509_set_version(x509.get(), X509_VERSION_3) == 1);
  std::uint64_t serial = 0;
  RAND_bytes(reinterpret_cast<std::uint8_t*>(&serial), sizeof(serial));
  MESH_CHECK(ASN1_INTEGER_set_uint64(X509_get_serialNumber(x509.get()), serial >> 1) == 1);
  MESH_CHECK(
      ASN1_TIME_set_posix(X509_getm_notBefore(x509.get()), from.time_since_epoch().count()) &&
      ASN1_TIME_set_posix(X509_getm_notAfter(x509.get()), until.time_since_epoch().count()));
  MESH_CHECK(X509_set_subject_name(x509.get(), name_of(organisation).get()) == 1);
  MESH_CHECK(X509_set_pubkey(x509.get(), key) == 1);
  return x509;
}

Certificate make_authority(const std::string& organisation, const PrivateKey& key,
                           const Signer& by) {
  const auto from = kTestNow - std::chrono::hours(24 * 3650);
  const auto until = kTestNow + std::chrono::hours(24 * 36500);
  const bssl::UniquePtr<X509> x509 = blank(organisation, key.impl().key.get(), from, until);
  add_extension(x509.get(), NID_basic_constraints, "critical,CA:TRUE");
  add_extension(x509.get(), NID_key_usage, "critical,keyCertSign");
  return sign(x509.get(), by);
}

Certificate make_leaf(const LeafOptions& options, EVP_PKEY* key, const Signer& by) {
  const bssl::UniquePtr<X509> x509 = blank("", key, options.not_before, options.not_after);
  add_extension(
      x509.get(), NID_key_usage,
      options.is_ca ? "critical,digitalSignature,keyCertSign" : "critical,digitalSignature");
  if (options.is_ca) add_extension(x509.get(), NID_basic_constraints, "critical,CA:TRUE");
  if (options.eku == Eku::kBoth)
    add_extension(x509.get(), NID_ext_key_usage, "serverAuth,clientAuth");
  if (options.eku == Eku::kServer) add_extension(x509.get(), NID_ext_key_usage, "serverAuth");
  if (options.eku == Eku::kClient) add_extension(x509.get(), NID_ext_key_usage, "clientAuth");
  add_alternative_names(x509.get(), options);
  return sign(x509.get(), by);
}

}  // namespace

struct TestCa::Impl {
  std::string organisation;
  PrivateKey key = new_key();
  PrivateKey intermediate_key = new_key();
  std::vector<Certificate> root;          // one
  std::vector<Certificate> intermediate;  // one
};

TestCa::TestCa(const std::string& organisation) : impl_(std::make_unique<Impl>()) {
  impl_->organisation = organisation;
  const Signer root{.organisation = organisation, .key = &impl_->key};
  impl_->root.push_back(make_authority(organisation, impl_->key, root));
  impl_->intermediate.push_back(
      make_authority(organisation + " intermediate", impl_->intermediate_key, root));
}

TestCa::~TestCa() = default;

tls::TrustBundle TestCa::bundle() const {
  Result<tls::TrustBundle> bundle = tls::TrustBundle::make(impl_->root);
  MESH_CHECK(bundle.has_value());
  return *std::move(bundle);
}

tls::Credentials TestCa::issue(const LeafOptions& options) const {
  PrivateKey key = new_key();
  const bool far = options.through_intermediate;
  const Signer by{.organisation = impl_->organisation + (far ? " intermediate" : ""),
                  .key = far ? &impl_->intermediate_key : &impl_->key};
  std::vector<Certificate> chain;
  chain.push_back(make_leaf(options, key.impl().key.get(), by));
  if (far) chain.push_back(impl_->intermediate[0]);
  Result<tls::CertificateChain> made = tls::CertificateChain::make(std::move(chain));
  MESH_CHECK(made.has_value());
  return {.chain = *std::move(made), .key = std::move(key), .roots = bundle()};
}

tls::Credentials TestCa::issue(const std::string& spiffe_uri) const {
  LeafOptions options;
  options.uris.push_back(spiffe_uri);
  return issue(options);
}

std::vector<std::string> TestCa::sign_request(const std::string& csr_pem, tls::WallSeconds now,
                                              std::chrono::seconds lifetime) const {
  const bssl::UniquePtr<BIO> in(
      BIO_new_mem_buf(csr_pem.data(), static_cast<ossl_ssize_t>(csr_pem.size())));
  const bssl::UniquePtr<X509_REQ> request(
      PEM_read_bio_X509_REQ(in.get(), nullptr, nullptr, nullptr));
  MESH_CHECK(request != nullptr);
  const bssl::UniquePtr<EVP_PKEY> key(X509_REQ_get_pubkey(request.get()));
  MESH_CHECK(key && X509_REQ_verify(request.get(), key.get()) == 1);
  const bssl::UniquePtr<X509> x509 =
      blank("", key.get(), now - std::chrono::seconds(60), now + lifetime);
  add_extension(x509.get(), NID_key_usage, "critical,digitalSignature");
  add_extension(x509.get(), NID_ext_key_usage, "serverAuth,clientAuth");
  STACK_OF(X509_EXTENSION)* asked = X509_REQ_get_extensions(request.get());
  for (std::size_t i = 0; i < sk_X509_EXTENSION_num(asked); ++i) {
    MESH_CHECK(X509_add_ext(x509.get(), sk_X509_EXTENSION_value(asked, i), -1) == 1);
  }
  sk_X509_EXTENSION_pop_free(asked, X509_EXTENSION_free);
  const Signer by{.organisation = impl_->organisation, .key = &impl_->key};
  return {sign(x509.get(), by).to_pem(), impl_->root[0].to_pem()};
}

}  // namespace mesh::test
