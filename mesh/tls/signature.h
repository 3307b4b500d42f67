#pragma once
// PublicKey: checks signatures of messages (of tokens). Only what JOSE (RFC 7518, RFC 8037) names
// with a public key: there is no way to ask for a shared secret, or for nothing.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "mesh/base/result.h"

namespace mesh::tls {

enum class SignatureAlgorithm : std::uint8_t {
  kRs256,
  kRs384,
  kRs512,
  kPs256,
  kPs384,
  kPs512,
  kEs256,
  kEs384,
  kEs512,
  kEd25519,
};

class PublicKey {
 public:
  enum class Curve : std::uint8_t { kP256, kP384, kP521 };

  // Big-endian, as in a JWK. Errors: kMalformed (no such key), kTooLarge (modulus of fewer than
  // 2048 or more than 8192 bits; an exponent of more than 32).
  static Result<std::shared_ptr<const PublicKey>> rsa(std::string_view modulus,
                                                      std::string_view exponent);
  // The point must be on the curve, its coordinates of exactly the curve's size.
  static Result<std::shared_ptr<const PublicKey>> ec(Curve curve, std::string_view x,
                                                     std::string_view y);
  static Result<std::shared_ptr<const PublicKey>> ed25519(std::string_view x);
  ~PublicKey();
  PublicKey(const PublicKey&) = delete;
  PublicKey& operator=(const PublicKey&) = delete;

  // Whether this key makes signatures of that algorithm: a curve has one, RSA has six.
  bool fits(SignatureAlgorithm algorithm) const;
  // False also when the algorithm does not fit. An ECDSA signature is r and s, one behind the
  // other.
  bool verify(SignatureAlgorithm algorithm, std::string_view message,
              std::string_view signature) const;

 private:
  struct Key;
  explicit PublicKey(std::unique_ptr<Key> key);
  std::unique_ptr<Key> key_;
};

}  // namespace mesh::tls
