#include "test/support/jwt_signer.h"

#include <openssl/bn.h>
#include <openssl/digest.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/nid.h>
#include <openssl/rsa.h>

#include "mesh/base/check.h"

namespace mesh::test {

namespace {

std::string number(const BIGNUM* n, std::size_t size = 0) {
  std::string bytes(size == 0 ? BN_num_bytes(n) : size, '\0');
  MESH_CHECK(BN_bn2bin_padded(reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size(), n) == 1);
  return bytes;
}

const std::uint8_t* bytes(std::string_view text) {
  return reinterpret_cast<const std::uint8_t*>(text.data());
}

const EVP_MD* digest_of(std::string_view algorithm) {
  if (algorithm.ends_with("384")) return EVP_sha384();
  if (algorithm.ends_with("512")) return EVP_sha512();
  return EVP_sha256();
}

struct CurveRow {
  int nid;
  std::size_t size;
  const char* name;
};
constexpr CurveRow kCurves[] = {{NID_X9_62_prime256v1, 32, "P-256"},
                                {NID_secp384r1, 48, "P-384"},
                                {NID_secp521r1, 66, "P-521"}};

}  // namespace

struct JwtSigner::Key {
  Kind kind = Kind::kRsa;
  bssl::UniquePtr<EVP_PKEY> evp;
  bssl::UniquePtr<RSA> rsa;
  bssl::UniquePtr<EC_KEY> ec;
  const CurveRow* curve = nullptr;
};

JwtSigner::JwtSigner(Kind kind, unsigned rsa_bits) : key_(std::make_unique<Key>()) {
  key_->kind = kind;
  if (kind == Kind::kRsa) {
    key_->rsa.reset(RSA_new());
    bssl::UniquePtr<BIGNUM> e(BN_new());
    MESH_CHECK(BN_set_word(e.get(), RSA_F4) == 1);
    MESH_CHECK(RSA_generate_key_ex(key_->rsa.get(), static_cast<int>(rsa_bits), e.get(), nullptr) ==
               1);
    key_->evp.reset(EVP_PKEY_new());
    MESH_CHECK(EVP_PKEY_set1_RSA(key_->evp.get(), key_->rsa.get()) == 1);
  } else if (kind == Kind::kEd25519) {
    bssl::UniquePtr<EVP_PKEY_CTX> context(EVP_PKEY_CTX_new_id(EVP_PKEY_ED25519, nullptr));
    EVP_PKEY* made = nullptr;
    MESH_CHECK(EVP_PKEY_keygen_init(context.get()) == 1);
    MESH_CHECK(EVP_PKEY_keygen(context.get(), &made) == 1);
    key_->evp.reset(made);
  } else {
    key_->curve = &kCurves[static_cast<std::size_t>(kind) - 1];
    key_->ec.reset(EC_KEY_new_by_curve_name(key_->curve->nid));
    MESH_CHECK(EC_KEY_generate_key(key_->ec.get()) == 1);
  }
}

JwtSigner::~JwtSigner() = default;

std::string JwtSigner::jwk(std::string_view more) const {
  const std::string start = "{" + std::string(more);
  if (key_->rsa) {
    return start + "\"kty\":\"RSA\",\"n\":\"" + base64url(number(RSA_get0_n(key_->rsa.get()))) +
           "\",\"e\":\"" + base64url(number(RSA_get0_e(key_->rsa.get()))) + "\"}";
  }
  if (key_->ec) {
    bssl::UniquePtr<BIGNUM> x(BN_new());
    bssl::UniquePtr<BIGNUM> y(BN_new());
    MESH_CHECK(EC_POINT_get_affine_coordinates_GFp(EC_KEY_get0_group(key_->ec.get()),
                                                   EC_KEY_get0_public_key(key_->ec.get()), x.get(),
                                                   y.get(), nullptr) == 1);
    return start + "\"kty\":\"EC\",\"crv\":\"" + key_->curve->name + "\",\"x\":\"" +
           base64url(number(x.get(), key_->curve->size)) + "\",\"y\":\"" +
           base64url(number(y.get(), key_->curve->size)) + "\"}";
  }
  std::string raw(32, '\0');
  std::size_t size = raw.size();
  MESH_CHECK(EVP_PKEY_get_raw_public_key(key_->evp.get(),
                                         reinterpret_cast<std::uint8_t*>(raw.data()), &size) == 1);
  return start + "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" + base64url(raw) + "\"}";
}

std::string JwtSigner::jwks(std::string_view more) const {
  return "{\"keys\":[" + jwk(more) + "]}";
}

std::string JwtSigner::sign(std::string_view algorithm, std::string_view text) const {
  if (key_->ec) {
    std::uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    MESH_CHECK(EVP_Digest(text.data(), text.size(), digest, &size, digest_of(algorithm), nullptr) ==
               1);
    std::string signature(2 * key_->curve->size, '\0');
    std::size_t made = 0;
    MESH_CHECK(ECDSA_sign_p1363(digest, size, reinterpret_cast<std::uint8_t*>(signature.data()),
                                &made, signature.size(), key_->ec.get()) == 1);
    return signature;
  }
  bssl::ScopedEVP_MD_CTX context;
  EVP_PKEY_CTX* options = nullptr;
  const EVP_MD* digest = key_->rsa ? digest_of(algorithm) : nullptr;
  MESH_CHECK(EVP_DigestSignInit(context.get(), &options, digest, nullptr, key_->evp.get()) == 1);
  if (algorithm.starts_with("PS")) {
    MESH_CHECK(EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) == 1);
    MESH_CHECK(EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST) == 1);
  }
  std::size_t size = 0;
  MESH_CHECK(EVP_DigestSign(context.get(), nullptr, &size, bytes(text), text.size()) == 1);
  std::string signature(size, '\0');
  MESH_CHECK(EVP_DigestSign(context.get(), reinterpret_cast<std::uint8_t*>(signature.data()), &size,
                            bytes(text), text.size()) == 1);
  signature.resize(size);
  return signature;
}

std::string JwtSigner::token(std::string_view algorithm, std::string_view header,
                             std::string_view payload) const {
  const std::string text = base64url(header) + "." + base64url(payload);
  return text + "." + base64url(sign(algorithm, text));
}

std::string base64url(std::string_view input) {
  static constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string text;
  for (std::size_t at = 0; at < input.size(); at += 3) {
    const std::size_t left = std::min<std::size_t>(3, input.size() - at);
    unsigned group = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      group = group << 8 | (i < left ? static_cast<unsigned char>(input[at + i]) : 0u);
    }
    for (std::size_t i = 0; i <= left; ++i) text += kAlphabet[group >> (18 - 6 * i) & 63];
  }
  return text;
}

std::string hmac_sha256(std::string_view key, std::string_view text) {
  std::uint8_t mac[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  MESH_CHECK(HMAC(EVP_sha256(), key.data(), key.size(), bytes(text), text.size(), mac, &size) !=
             nullptr);
  return {reinterpret_cast<const char*>(mac), size};
}

}  // namespace mesh::test
