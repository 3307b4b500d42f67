#include "waypoint/jwt/keys.h"

#include <algorithm>
#include <utility>

#include "waypoint/jwt/json.h"

namespace mesh::waypoint::jwt {

namespace {

using http::Value;
using tls::PublicKey;

std::string_view text_of(const Value& key, std::string_view name) {
  const Value* found = key.member(name);
  return found == nullptr || found->kind != Value::Kind::kString ? std::string_view() : found->text;
}

std::string bytes_of(const Value& key, std::string_view name) {
  auto bytes = decode_base64url(text_of(key, name));
  return bytes ? *std::move(bytes) : std::string();
}

// May it check signatures? A key that says nothing may.
bool is_for_signatures(const Value& key) {
  if (const Value* use = key.member("use"); use != nullptr && use->text != "sig") return false;
  const Value* operations = key.member("key_ops");
  return operations == nullptr || std::ranges::any_of(operations->list, [](const Value& one) {
           return one.text == "verify";
         });
}

Result<std::shared_ptr<const PublicKey>> public_key(const Value& key) {
  const std::string_view type = text_of(key, "kty");
  const std::string_view curve = text_of(key, "crv");
  if (type == "RSA") return PublicKey::rsa(bytes_of(key, "n"), bytes_of(key, "e"));
  if (type == "EC") {
    const std::string x = bytes_of(key, "x");
    const std::string y = bytes_of(key, "y");
    if (curve == "P-256") return PublicKey::ec(PublicKey::Curve::kP256, x, y);
    if (curve == "P-384") return PublicKey::ec(PublicKey::Curve::kP384, x, y);
    if (curve == "P-521") return PublicKey::ec(PublicKey::Curve::kP521, x, y);
  }
  if (type == "OKP" && curve == "Ed25519") return PublicKey::ed25519(bytes_of(key, "x"));
  return failed(Reason::kMalformed, "key type");
}

}  // namespace

std::optional<tls::SignatureAlgorithm> algorithm_of(std::string_view name) {
  using Algorithm = tls::SignatureAlgorithm;
  static constexpr std::pair<std::string_view, Algorithm> kNames[] = {
      {"RS256", Algorithm::kRs256},  {"RS384", Algorithm::kRs384}, {"RS512", Algorithm::kRs512},
      {"PS256", Algorithm::kPs256},  {"PS384", Algorithm::kPs384}, {"PS512", Algorithm::kPs512},
      {"ES256", Algorithm::kEs256},  {"ES384", Algorithm::kEs384}, {"ES512", Algorithm::kEs512},
      {"EdDSA", Algorithm::kEd25519}};
  for (const auto& [known, algorithm] : kNames) {
    if (name == known) return algorithm;
  }
  return std::nullopt;
}

Result<std::shared_ptr<const Keys>> Keys::parse(std::string_view json) {
  if (json.size() > kMaxKeySetBytes) return failed(Reason::kTooLarge, "key set");
  TRY(const Value set, parse_json(json));
  const Value* list = set.member("keys");
  if (list == nullptr || list->kind != Value::Kind::kList) {
    return failed(Reason::kMalformed, "key set");
  }
  if (list->list.size() > kMaxKeys) return failed(Reason::kTooLarge, "key set");
  auto made = std::make_shared<Keys>();
  for (const Value& one : list->list) {
    if (!is_for_signatures(one)) continue;
    auto key = public_key(one);
    if (!key) continue;
    Key kept{.id = std::string(text_of(one, "kid")), .key = *std::move(key)};
    if (one.member("alg") != nullptr) {
      kept.algorithm = algorithm_of(text_of(one, "alg"));
      if (!kept.algorithm || !kept.key->fits(*kept.algorithm)) continue;
    }
    made->keys_.push_back(std::move(kept));
  }
  if (made->keys_.empty()) return failed(Reason::kMalformed, "key set without a key to use");
  return made;
}

Keys::Check Keys::check(tls::SignatureAlgorithm algorithm, std::optional<std::string_view> key_id,
                        std::string_view message, std::string_view signature) const {
  bool tried = false;
  for (const Key& key : keys_) {
    if (key_id && !key.id.empty() && key.id != *key_id) continue;
    if (!key.key->fits(algorithm) || (key.algorithm && *key.algorithm != algorithm)) continue;
    tried = true;
    if (key.key->verify(algorithm, message, signature)) return Check::kGood;
  }
  return tried ? Check::kBadSignature : Check::kNoKey;
}

}  // namespace mesh::waypoint::jwt
