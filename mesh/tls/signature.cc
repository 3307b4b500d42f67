#include "mesh/tls/signature.h"

#include <openssl/bn.h>
#include <openssl/digest.h>
#include <openssl/ec_key.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/rsa.h>

#include <utility>

namespace mesh::tls {

namespace {

using Algorithm = SignatureAlgorithm;

const std::uint8_t* bytes(std::string_view text) {
  return reinterpret_cast<const std::uint8_t*>(text.data());
}

bssl::UniquePtr<BIGNUM> number(std::string_view text) {
  return bssl::UniquePtr<BIGNUM>(BN_bin2bn(bytes(text), text.size(), nullptr));
}

const EVP_MD* digest_of(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::kRs256:
    case Algorithm::kPs256:
    case Algorithm::kEs256:
      return EVP_sha256();
    case Algorithm::kRs384:
    case Algorithm::kPs384:
    case Algorithm::kEs384:
      return EVP_sha384();
    case Algorithm::kRs512:
    case Algorithm::kPs512:
    case Algorithm::kEs512:
      return EVP_sha512();
    case Algorithm::kEd25519:
      return nullptr;
  }
  return nullptr;
}

bool is_pss(Algorithm algorithm) {
  return algorithm == Algorithm::kPs256 || algorithm == Algorithm::kPs384 ||
         algorithm == Algorithm::kPs512;
}

bool is_rsa(Algorithm algorithm) { return algorithm <= Algorithm::kPs512; }

bool verify_ecdsa(EC_KEY* key, Algorithm algorithm, std::string_view message,
                  std::string_view signature) {
  std::uint8_t digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (EVP_Digest(message.data(), message.size(), digest, &size, digest_of(algorithm), nullptr) !=
      1) {
    return false;
  }
  return ECDSA_verify_p1363(digest, size, bytes(signature), signature.size(), key) == 1;
}

bool verify_evp(EVP_PKEY* key, Algorithm algorithm, std::string_view message,
                std::string_view signature) {
  bssl::ScopedEVP_MD_CTX context;
  EVP_PKEY_CTX* options = nullptr;
  if (EVP_DigestVerifyInit(context.get(), &options, digest_of(algorithm), nullptr, key) != 1) {
    return false;
  }
  // RFC 7518 section 3.5: the salt is as long as the digest, and MGF1 uses the same.
  if (is_pss(algorithm) &&
      (EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) != 1 ||
       EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST) != 1)) {
    return false;
  }
  return EVP_DigestVerify(context.get(), bytes(signature), signature.size(), bytes(message),
                          message.size()) == 1;
}

}  // namespace

struct PublicKey::Key {
  bssl::UniquePtr<EVP_PKEY> evp = {};
  bssl::UniquePtr<EC_KEY> ec = {};
  Algorithm ec_algorithm = Algorithm::kEs256;
};

PublicKey::PublicKey(std::unique_ptr<Key> key) : key_(std::move(key)) {}
PublicKey::~PublicKey() = default;

Result<std::shared_ptr<const PublicKey>> PublicKey::rsa(std::string_view modulus,
                                                        std::string_view exponent) {
  constexpr unsigned kLeastBits = 2048;
  constexpr unsigned kMostBits = 8192;
  if (modulus.size() > kMostBits / 8 + 1 || exponent.size() > 5) {
    return failed(Reason::kTooLarge, "RSA key");
  }
  const auto n = number(modulus);
  const auto e = number(exponent);
  if (!n || !e) return failed(Reason::kMalformed, "RSA key");
  if (BN_num_bits(n.get()) < kLeastBits || BN_num_bits(n.get()) > kMostBits ||
      BN_num_bits(e.get()) > 32) {
    return failed(Reason::kTooLarge, "RSA key");
  }
  bssl::UniquePtr<RSA> rsa(RSA_new_public_key(n.get(), e.get()));
  auto key = std::make_unique<Key>();
  key->evp.reset(EVP_PKEY_new());
  if (!rsa || !key->evp || EVP_PKEY_set1_RSA(key->evp.get(), rsa.get()) != 1) {
    ERR_clear_error();
    return failed(Reason::kMalformed, "RSA key");
  }
  return std::shared_ptr<const PublicKey>(new PublicKey(std::move(key)));
}

Result<std::shared_ptr<const PublicKey>> PublicKey::ec(Curve curve, std::string_view x,
                                                       std::string_view y) {
  static constexpr struct {
    int nid;
    std::size_t size;
    Algorithm algorithm;
  } kCurves[] = {{NID_X9_62_prime256v1, 32, Algorithm::kEs256},
                 {NID_secp384r1, 48, Algorithm::kEs384},
                 {NID_secp521r1, 66, Algorithm::kEs512}};
  const auto& chosen = kCurves[static_cast<std::size_t>(curve)];
  if (x.size() != chosen.size || y.size() != chosen.size) {
    return failed(Reason::kMalformed, "EC key");
  }
  auto key = std::make_unique<Key>();
  key->ec.reset(EC_KEY_new_by_curve_name(chosen.nid));
  key->ec_algorithm = chosen.algorithm;
  const auto a = number(x);
  const auto b = number(y);
  if (!key->ec || !a || !b ||
      EC_KEY_set_public_key_affine_coordinates(key->ec.get(), a.get(), b.get()) != 1) {
    ERR_clear_error();
    return failed(Reason::kMalformed, "EC key");
  }
  return std::shared_ptr<const PublicKey>(new PublicKey(std::move(key)));
}

Result<std::shared_ptr<const PublicKey>> PublicKey::ed25519(std::string_view x) {
  auto key = std::make_unique<Key>();
  key->evp.reset(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, bytes(x), x.size()));
  if (!key->evp) {
    ERR_clear_error();
    return failed(Reason::kMalformed, "Ed25519 key");
  }
  return std::shared_ptr<const PublicKey>(new PublicKey(std::move(key)));
}

bool PublicKey::fits(Algorithm algorithm) const {
  if (key_->ec) return algorithm == key_->ec_algorithm;
  const int type = EVP_PKEY_id(key_->evp.get());
  return type == EVP_PKEY_RSA ? is_rsa(algorithm) : algorithm == Algorithm::kEd25519;
}

bool PublicKey::verify(Algorithm algorithm, std::string_view message,
                       std::string_view signature) const {
  if (!fits(algorithm)) return false;
  const bool good = key_->ec ? verify_ecdsa(key_->ec.get(), algorithm, message, signature)
                             : verify_evp(key_->evp.get(), algorithm, message, signature);
  // A bad signature is an answer, not an error that somebody finds later.
  if (!good) ERR_clear_error();
  return good;
}

}  // namespace mesh::tls
