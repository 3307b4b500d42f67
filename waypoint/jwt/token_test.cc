#include "waypoint/jwt/token.h"

#include <array>

#include <catch2/catch_test_macros.hpp>

#include "test/support/jwt_signer.h"
#include "waypoint/jwt/fetched_keys.h"
#include "waypoint/jwt/json.h"

namespace mesh::waypoint::jwt {
namespace {

using namespace std::chrono_literals;
using test::JwtSigner;

TEST_CASE("every algorithm is checked by its own kind of key and by no other") {
  const JwtSigner rsa(JwtSigner::Kind::kRsa);
  const JwtSigner p256(JwtSigner::Kind::kP256);
  const JwtSigner p384(JwtSigner::Kind::kP384);
  const JwtSigner p521(JwtSigner::Kind::kP521);
  const JwtSigner ed(JwtSigner::Kind::kEd25519);
  struct Row {
    const char* algorithm;
    const JwtSigner* signer;
  };
  const std::array rows = {Row{"RS256", &rsa},  Row{"RS384", &rsa},  Row{"RS512", &rsa},
                           Row{"PS256", &rsa},  Row{"PS384", &rsa},  Row{"PS512", &rsa},
                           Row{"ES256", &p256}, Row{"ES384", &p384}, Row{"ES512", &p521},
                           Row{"EdDSA", &ed}};
  for (const Row& row : rows) {
    INFO(row.algorithm);
    const std::string header = std::string(R"({"alg":")") + row.algorithm + R"("})";
    Status status = Status::kMissing;
    const auto token =
        parse_token(row.signer->token(row.algorithm, header, R"({"sub":"x"})"), status);
    REQUIRE(token);
    CHECK(judge_signature(*token, **Keys::parse(row.signer->jwks())) == Status::kOk);
    for (const Row& other : rows) {
      if (other.signer == row.signer) continue;
      CHECK(judge_signature(*token, **Keys::parse(other.signer->jwks())) != Status::kOk);
    }
    Token changed = *token;
    changed.signature.back() = static_cast<char>(changed.signature.back() ^ 1);
    CHECK(judge_signature(changed, **Keys::parse(row.signer->jwks())) == Status::kBadSignature);
  }
}

TEST_CASE("the examples of RFC 7515 (A.3) and RFC 8037 (A.4) are good") {
  Token token;
  token.algorithm = tls::SignatureAlgorithm::kEs256;
  token.signed_part =
      "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLm"
      "NvbS9pc19yb290Ijp0cnVlfQ";
  token.signature = *decode_base64url(
      "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q");
  CHECK(judge_signature(token,
                        **Keys::parse(R"({"keys":[{"kty":"EC","crv":"P-256",)"
                                      R"("x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",)"
                                      R"("y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]})")) ==
        Status::kOk);
  token.algorithm = tls::SignatureAlgorithm::kEd25519;
  token.signed_part = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
  token.signature = *decode_base64url(
      "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg");
  CHECK(judge_signature(token,
                        **Keys::parse(R"({"keys":[{"kty":"OKP","crv":"Ed25519",)"
                                      R"("x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]})")) ==
        Status::kOk);
}

TEST_CASE("a key set keeps the keys that can check signatures") {
  const JwtSigner rsa(JwtSigner::Kind::kRsa);
  CHECK((*Keys::parse(rsa.jwks()))->size() == 1);
  CHECK((*Keys::parse(rsa.jwks(R"("use":"sig","alg":"RS256",)")))->size() == 1);
  for (const char* more : {R"("use":"enc",)", R"("alg":"ES256",)", R"("alg":"HS256",)",
                           R"("alg":1,)", R"("key_ops":["sign"],)", R"("use":1,)"}) {
    INFO(more);
    CHECK_FALSE(Keys::parse(rsa.jwks(more)).has_value());
  }
  for (const char* bad : {"", "{", "[]", "{}", R"({"keys":{}})", R"({"keys":[]})",
                          R"({"keys":[{"kty":"oct","k":"AAAA"}]})",
                          R"({"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]})",
                          R"({"keys":[{"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA"}]})",
                          R"({"keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAA"}]})",
                          R"({"keys":[{"kty":"OKP","crv":"X25519","x":"AAAA"}]})"}) {
    INFO(bad);
    CHECK_FALSE(Keys::parse(bad).has_value());
  }
  // A point that is not on the curve.
  const std::string zeros = test::base64url(std::string(32, '\1'));
  CHECK_FALSE(Keys::parse(R"({"keys":[{"kty":"EC","crv":"P-256","x":")" + zeros + R"(","y":")" +
                          zeros + R"("}]})"));
  const JwtSigner small(JwtSigner::Kind::kRsa, 1024);
  CHECK_FALSE(Keys::parse(small.jwks()).has_value());
  CHECK(Keys::parse(std::string(kMaxKeySetBytes + 1, ' ')).error().reason == Reason::kTooLarge);
}

TEST_CASE("a key with an id is for tokens of that id, one without for all") {
  const JwtSigner signer(JwtSigner::Kind::kP256);
  const auto named = *Keys::parse(signer.jwks(R"("kid":"a",)"));
  const auto unnamed = *Keys::parse(signer.jwks());
  const auto judged = [&](const char* header, const Keys& keys) {
    Status status = Status::kMissing;
    return judge_signature(*parse_token(signer.token("ES256", header, "{}"), status), keys);
  };
  CHECK(judged(R"({"alg":"ES256","kid":"a"})", *named) == Status::kOk);
  CHECK(judged(R"({"alg":"ES256","kid":"b"})", *named) == Status::kUnknownKey);
  CHECK(judged(R"({"alg":"ES256"})", *named) == Status::kOk);
  CHECK(judged(R"({"alg":"ES256","kid":"b"})", *unnamed) == Status::kOk);
}

TEST_CASE("base64url has one spelling of each text") {
  for (const char* text : {"", "f", "fo", "foo", "foob", "\xff\xfe"}) {
    CHECK(*decode_base64url(encode_base64url(text)) == text);
  }
  for (const char* bad : {"Zg==", "Zh", "Zm9=", "Z", "Zm 9", "Zm+v", "Zm/v", "Zm9\n", "Zm9vY"}) {
    INFO(bad);
    CHECK_FALSE(decode_base64url(bad).has_value());
  }
  CHECK(encode_base64url("f", true) == "Zg==");
}

TEST_CASE("JSON is bounded and says everything once") {
  CHECK(parse_json(R"({"a":[1,true,null,"x"]})").has_value());
  for (const char* bad : {"", "{", "{}{}", R"({"a":1,"a":2})", R"({"a":1,})", "nul", "NaN", "'a'",
                          "{\"a\":\"\xff\"}", "[1] //"}) {
    INFO(bad);
    CHECK_FALSE(parse_json(bad).has_value());
  }
  CHECK(parse_json(std::string(40, '[') + std::string(40, ']')).error().reason ==
        Reason::kTooLarge);
}

TEST_CASE("a large object says every name once too") {
  const auto object = [](std::size_t members, const std::string& last) {
    std::string text = "{";
    for (std::size_t i = 0; i < members; ++i) text += "\"" + std::to_string(i) + "\":0,";
    return text + "\"" + last + "\":0}";
  };
  for (const std::size_t members : {15u, 16u, 17u, 60'000u}) {
    INFO(members);
    const auto good = parse_json(object(members, "last"));
    REQUIRE(good);
    CHECK(good->members.size() == members + 1);
    CHECK_FALSE(parse_json(object(members, "0")));
    CHECK_FALSE(parse_json(object(members, std::to_string(members - 1))));
    // Names are an object's own.
    CHECK(parse_json(R"({"a":)" + object(members, "a") + R"(,"b":{"a":1}})"));
  }
}

TEST_CASE("fetched keys are asked for when they are due, and kept while others fail") {
  const JwtSigner signer(JwtSigner::Kind::kEd25519);
  FetchedKeys keys(600s);
  CHECK(keys.keys(0s) == nullptr);
  CHECK(keys.start_fetch(0s));
  CHECK_FALSE(keys.start_fetch(0s));  // under way
  keys.failed(1s);
  CHECK_FALSE(keys.start_fetch(1500ms));
  CHECK(keys.start_fetch(2s));
  keys.failed(2s);
  CHECK_FALSE(keys.start_fetch(3s));  // the wait doubles
  CHECK(keys.start_fetch(4s));
  CHECK(keys.fetched(signer.jwks(), 4s));
  CHECK(keys.keys(4s) != nullptr);
  CHECK_FALSE(keys.start_fetch(603s));
  CHECK(keys.start_fetch(604s));
  CHECK_FALSE(keys.fetched("<html>", 604s));
  CHECK(keys.keys(700s) != nullptr);
  CHECK(keys.keys(1204s) == nullptr);  // twice their time
}

TEST_CASE("an unknown key id makes us fetch early, but not for every token") {
  const JwtSigner signer(JwtSigner::Kind::kEd25519);
  FetchedKeys keys(600s);
  REQUIRE(keys.start_fetch(0s));
  REQUIRE(keys.fetched(signer.jwks(), 0s));
  keys.unknown_key(1s);
  CHECK_FALSE(keys.start_fetch(29s));
  CHECK(keys.start_fetch(30s));
  REQUIRE(keys.fetched(signer.jwks(), 30s));
  CHECK_FALSE(keys.start_fetch(60s));
}

}  // namespace
}  // namespace mesh::waypoint::jwt
