#pragma once
// Keys: a JSON Web Key Set (RFC 7517) as far as it holds keys that can check a token's signature.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mesh/base/result.h"
#include "mesh/tls/signature.h"

namespace mesh::waypoint::jwt {

inline constexpr std::size_t kMaxKeySetBytes = 1 << 20;
inline constexpr std::size_t kMaxKeys = 256;

// "RS256", … "EdDSA". None: not one of those that are accepted ("none" and "HS256" are not).
std::optional<tls::SignatureAlgorithm> algorithm_of(std::string_view name);

class Keys {
 public:
  // A key that cannot be used (of another kind, for encryption, too small) is left out: the others
  // still count. Errors: kMalformed (not a key set, or nothing in it can be used), kTooLarge.
  static Result<std::shared_ptr<const Keys>> parse(std::string_view json);

  enum class Check : std::uint8_t { kGood, kBadSignature, kNoKey };
  // A key that has an id is tried only for tokens of that id or of none; one without, for all.
  Check check(tls::SignatureAlgorithm algorithm, std::optional<std::string_view> key_id,
              std::string_view message, std::string_view signature) const;

  std::size_t size() const { return keys_.size(); }

 private:
  struct Key {
    std::string id = {};
    std::optional<tls::SignatureAlgorithm> algorithm = {};  // if the key says it has but one
    std::shared_ptr<const tls::PublicKey> key = {};
  };
  std::vector<Key> keys_;
};
using KeysPtr = std::shared_ptr<const Keys>;

}  // namespace mesh::waypoint::jwt
