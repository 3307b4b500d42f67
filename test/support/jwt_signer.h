#pragma once
// Keys that sign tokens, for tests: of each algorithm, and tokens of each kind of wrong.

#include <memory>
#include <string>
#include <string_view>

namespace mesh::test {

class JwtSigner {
 public:
  enum class Kind { kRsa, kP256, kP384, kP521, kEd25519 };
  explicit JwtSigner(Kind kind, unsigned rsa_bits = 2048);
  ~JwtSigner();
  JwtSigner(const JwtSigner&) = delete;
  JwtSigner& operator=(const JwtSigner&) = delete;

  // The public key as a JWK; `more` is put in front: "\"kid\":\"a\",".
  std::string jwk(std::string_view more = "") const;
  // {"keys":[jwk]}
  std::string jwks(std::string_view more = "") const;
  // A compact token: base64url of both texts, and a signature over them by `algorithm` ("RS256",
  // "PS384", "ES256", "EdDSA").
  std::string token(std::string_view algorithm, std::string_view header,
                    std::string_view payload) const;
  // The raw signature of a text.
  std::string sign(std::string_view algorithm, std::string_view text) const;

 private:
  struct Key;
  std::unique_ptr<Key> key_;
};

// Unpadded base64url.
std::string base64url(std::string_view bytes);
// HMAC with SHA-256, what HS256 would be: an attack's tool.
std::string hmac_sha256(std::string_view key, std::string_view text);

}  // namespace mesh::test
