#include "waypoint/jwt/attack_table.h"

#include <string>
#include <vector>

#include "test/support/jwt_signer.h"
#include "waypoint/rbac/test_rules.h"

namespace mesh::waypoint::jwt::attacks {
namespace {

using namespace rbac::test;
using test::base64url;
using test::JwtSigner;

const JwtSigner& rsa() {
  static const JwtSigner signer(JwtSigner::Kind::kRsa);
  return signer;
}
const JwtSigner& ec() {
  static const JwtSigner signer(JwtSigner::Kind::kP256);
  return signer;
}
const JwtSigner& evil_rsa() {
  static const JwtSigner signer(JwtSigner::Kind::kRsa);
  return signer;
}
const JwtSigner& evil_ec() {
  static const JwtSigner signer(JwtSigner::Kind::kP256);
  return signer;
}

const std::string kHeader = R"({"alg":"RS256","kid":"k1","typ":"JWT"})";
const std::string kClaims =
    R"({"iss":"https://issuer.example","sub":"ann","aud":"web","exp":1750086400,"group":"admin"})";

std::string claims(const std::string& from, const std::string& to) {
  std::string changed = kClaims;
  const auto at = changed.find(from);
  if (at != std::string::npos) changed.replace(at, from.size(), to);
  return changed;
}

// Signed as `signer` signs by `algorithm`, whatever the header says.
std::string forged(const JwtSigner& signer, const char* algorithm, const std::string& header,
                   const std::string& payload = kClaims) {
  return signer.token(algorithm, header, payload);
}

Attack with_token(std::string name, const std::string& token) {
  return {.name = std::move(name), .headers = {{"authorization", "Bearer " + token}}};
}

config::RbacNode path_prefix(const char* prefix) {
  return {.kind = config::RbacNode::Kind::kUrlPath, .text = config::StringMatch::prefix(prefix)};
}

std::string good_token() { return rsa().token("RS256", kHeader, kClaims); }

// Algorithms, keys and headers of a token.
std::vector<Attack> header_attacks() {
  const std::string text = base64url(kHeader) + "." + base64url(kClaims);
  const auto unsigned_token = [](const char* algorithm) {
    return base64url(std::string(R"({"alg":")") + algorithm + R"("})") + "." + base64url(kClaims) +
           ".";
  };
  const std::string hs = base64url(R"({"alg":"HS256","kid":"k1"})") + "." + base64url(kClaims);
  std::vector<Attack> attacks;
  for (const char* none : {"none", "None", "NONE", "nOnE", "", "null"}) {
    attacks.push_back(with_token(std::string("no signature, alg ") + none, unsigned_token(none)));
  }
  attacks.push_back(with_token("alg none with a signature",
                               forged(rsa(), "RS256", R"({"alg":"none","kid":"k1"})")));
  attacks.push_back(with_token("the public key as an HMAC secret",
                               hs + "." + base64url(test::hmac_sha256(rsa().jwk(), hs))));
  attacks.push_back(
      with_token("an empty HMAC secret", hs + "." + base64url(test::hmac_sha256("", hs))));
  attacks.push_back(with_token("signature cut off", text + "."));
  attacks.push_back(with_token("no third part", text));
  attacks.push_back(
      with_token("signature of zeros", text + "." + base64url(std::string(256, '\0'))));
  const std::string es =
      base64url(R"({"alg":"ES256","kid":"k2"})") + "." + base64url(kClaims) + ".";
  const std::string ones(32, '\xff');
  const std::string zeros(32, '\0');
  const std::string one = std::string(31, '\0') + '\1';
  for (const auto& [name, signature] : std::vector<std::pair<const char*, std::string>>{
           {"r and s zero", zeros + zeros},
           {"r zero", zeros + one},
           {"s zero", one + zeros},
           {"r and s one", one + one},
           {"r and s beyond the order", ones + ones},
           {"a byte less", zeros + zeros.substr(1)},
           {"a byte more", zeros + zeros + '\0'},
           {"DER", "\x30\x06\x02\x01\x01\x02\x01\x01"}}) {
    attacks.push_back(with_token(std::string("EC signature: ") + name, es + base64url(signature)));
  }
  attacks.push_back(with_token("a short signature", text + "." + base64url("x")));
  attacks.push_back(with_token("a stranger's key", forged(evil_rsa(), "RS256", kHeader)));
  attacks.push_back(
      with_token("a stranger's key without id", forged(evil_rsa(), "RS256", R"({"alg":"RS256"})")));
  attacks.push_back(with_token("a stranger's EC key",
                               forged(evil_ec(), "ES256", R"({"alg":"ES256","kid":"k2"})")));
  attacks.push_back(
      with_token("the key in the header",
                 forged(evil_rsa(), "RS256", R"({"alg":"RS256","jwk":)" + evil_rsa().jwk() + "}")));
  attacks.push_back(with_token(
      "keys from a URL of the attacker's",
      forged(evil_rsa(), "RS256", R"({"alg":"RS256","jku":"https://evil.example/jwks"})")));
  attacks.push_back(
      with_token("a certificate of the attacker's",
                 forged(evil_rsa(), "RS256",
                        R"({"alg":"RS256","x5u":"https://evil.example/x","x5c":["AAAA"]})")));
  return attacks;
}

std::vector<Attack> key_attacks() {
  std::vector<Attack> attacks;
  for (const char* key : {"k2", "k3", "../k1", "k1' or '1'='1", "/dev/null"}) {
    attacks.push_back(
        with_token(std::string("another key's id: ") + key,
                   forged(rsa(), "RS256", std::string(R"({"alg":"RS256","kid":")") + key + "\"}")));
  }
  attacks.push_back(with_token("a key id that is a number",
                               forged(rsa(), "RS256", R"({"alg":"RS256","kid":1})")));
  for (const char* algorithm : {"PS256", "RS384", "RS512", "PS512"}) {
    attacks.push_back(with_token(
        std::string("an algorithm that the key is not for: ") + algorithm,
        forged(rsa(), algorithm, std::string(R"({"alg":")") + algorithm + R"(","kid":"k1"})")));
  }
  attacks.push_back(with_token("signed RS384, said RS256", forged(rsa(), "RS384", kHeader)));
  attacks.push_back(with_token("signed PS256, said RS256", forged(rsa(), "PS256", kHeader)));
  attacks.push_back(with_token("RSA signature said to be ES256",
                               forged(rsa(), "RS256", R"({"alg":"ES256","kid":"k2"})")));
  attacks.push_back(with_token("EC signature said to be RS256", forged(ec(), "ES256", kHeader)));
  attacks.push_back(
      with_token("lower case alg", forged(rsa(), "RS256", R"({"alg":"rs256","kid":"k1"})")));
  attacks.push_back(with_token("an extension that must be understood",
                               forged(rsa(), "RS256",
                                      R"({"alg":"RS256","kid":"k1","crit":)"
                                      R"(["exp"],"exp":1})")));
  attacks.push_back(with_token("an unencoded payload", forged(rsa(), "RS256",
                                                              R"({"alg":"RS256","kid":"k1","b64":)"
                                                              R"(false,"crit":["b64"]})")));
  attacks.push_back(with_token(
      "alg twice", forged(rsa(), "RS256", R"({"alg":"none","alg":"RS256","kid":"k1"})")));
  attacks.push_back(
      with_token("alg is a list", forged(rsa(), "RS256", R"({"alg":["RS256"],"kid":"k1"})")));
  attacks.push_back(with_token("no alg", forged(rsa(), "RS256", R"({"kid":"k1"})")));
  attacks.push_back(with_token("header is a list", forged(rsa(), "RS256", R"([{"alg":"RS256"}])")));
  attacks.push_back(with_token("header is no JSON", forged(rsa(), "RS256", "alg=RS256")));
  return attacks;
}

// What a token says.
std::vector<Attack> claim_attacks() {
  std::vector<Attack> attacks;
  const auto say = [&attacks](std::string name, const std::string& payload) {
    attacks.push_back(with_token(std::move(name), forged(rsa(), "RS256", kHeader, payload)));
  };
  const std::string exp = "1750086400";
  say("expired", claims(exp, "1749999000"));
  say("expired a second beyond the skew", claims(exp, "1749999939"));
  say("expiry as a text", claims(exp, "\"1750086400\""));
  say("expiry as a huge number", claims(exp, "1e300"));
  say("expiry below zero", claims(exp, "-1"));
  say("expiry null", claims(exp, "null"));
  say("expiry a list", claims(exp, "[1750086400]"));
  say("not yet valid", claims(exp, exp + R"(,"nbf":1750090000)"));
  say("not-before as a text", claims(exp, exp + R"(,"nbf":"0")"));
  say("issued-at as a text", claims(exp, exp + R"(,"iat":"0")"));
  say("another issuer", claims("https://issuer.example", "https://evil.example"));
  say("issuer with a slash", claims("https://issuer.example", "https://issuer.example/"));
  say("issuer in another case", claims("https://issuer.example", "https://ISSUER.example"));
  say("issuer with white space", claims("https://issuer.example", "https://issuer.example "));
  say("issuer a list", claims("\"https://issuer.example\"", R"(["https://issuer.example"])"));
  say("no issuer", claims(R"("iss":"https://issuer.example",)", ""));
  say("issuer twice", claims(R"("iss":)", R"("iss":"https://evil.example","iss":)"));
  say("group twice", claims(R"("group":)", R"("group":"user","group":)"));
  say("issuer twice, the good one first",
      claims(R"("sub":)", R"("iss":"https://evil.example","sub":)"));
  say("group twice, the good one first", claims("\"admin\"", R"("admin","group":"user")"));
  say("subject twice", claims(R"("sub":"ann")", R"("sub":"ann","sub":"eve")"));
  say("another audience", claims(R"("aud":"web")", R"("aud":"mail")"));
  say("audience that begins the same", claims(R"("aud":"web")", R"("aud":"web.evil")"));
  say("audience with white space", claims(R"("aud":"web")", R"("aud":" web")"));
  say("audience empty", claims(R"("aud":"web")", R"("aud":"")"));
  say("no audience", claims(R"("aud":"web",)", ""));
  say("audiences none", claims(R"("aud":"web")", R"("aud":[])"));
  say("audience an object", claims(R"("aud":"web")", R"("aud":{"web":1})"));
  say("audience in a list of lists", claims(R"("aud":"web")", R"("aud":[["web"]])"));
  say("subject a number", claims(R"("sub":"ann")", R"("sub":1)"));
  say("another group", claims("\"admin\"", "\"user\""));
  say("group in another case", claims("\"admin\"", "\"ADMIN\""));
  say("group that holds the word", claims("\"admin\"", "\"not-admin\""));
  say("group with NUL behind", claims("\"admin\"", R"("admin\u0000")"));
  say("group nested in a list", claims("\"admin\"", R"([["admin"]])"));
  say("group as an object", claims("\"admin\"", R"({"admin":true})"));
  say("group joined by a comma", claims("\"admin\"", "\"user,admin\""));
  say("group by another name", claims(R"("group":)", R"("Group":)"));
  say("group under a dotted name", claims(R"("group":"admin")", R"("payload.group":"admin")"));
  say("payload is a list", "[" + kClaims + "]");
  say("payload is no JSON", "group=admin");
  say("payload with text behind", kClaims + "x");
  say("payload of 100 levels", claims("\"admin\"", std::string(100, '[') + std::string(100, ']')));
  return attacks;
}

// Where and how a token comes.
std::vector<Attack> place_attacks() {
  const std::string token = good_token();
  const auto dot = token.find('.');
  const auto last = token.rfind('.');
  std::string flipped = token;
  flipped[dot + 5] = flipped[dot + 5] == 'A' ? 'B' : 'A';
  const std::string evil = base64url(claims("\"ann\"", "\"eve\""));
  std::vector<Attack> attacks = {
      {.name = "no token"},
      {.name = "empty token", .headers = {{"authorization", "Bearer "}}},
      {.name = "another scheme", .headers = {{"authorization", "Basic " + token}}},
      {.name = "no scheme", .headers = {{"authorization", token}}},
      {.name = "a tab for the space", .headers = {{"authorization", "Bearer\t" + token}}},
      {.name = "another header", .headers = {{"proxy-authorization", "Bearer " + token}}},
      {.name = "a header with an underscore", .headers = {{"x_authorization", "Bearer " + token}}},
      {.name = "two headers, one good",
       .headers = {{"authorization", "Bearer " + token}, {"authorization", "Bearer x"}}},
      {.name = "two good ones",
       .headers = {{"authorization", "Bearer " + token}, {"authorization", "Bearer " + token}}},
      {.name = "one good in the header, another in the query",
       .headers = {{"authorization", "Bearer " + token}},
       .path = "/admin/users?access_token=x.y.z"},
      {.name = "two in the query",
       .path = "/admin/users?access_token=" + token + "&access_token=x"},
      {.name = "in a parameter of another name", .path = "/admin/users?token=" + token},
      {.name = "in the fragment", .path = "/admin/users#access_token=" + token},
      {.name = "claims in a header instead", .headers = {{"x-group", "admin"}}},
  };
  attacks.push_back(with_token("a changed payload", flipped));
  attacks.push_back(with_token("another's claims under a good signature",
                               token.substr(0, dot + 1) + evil + token.substr(last)));
  attacks.push_back(with_token("padding behind", token + "="));
  attacks.push_back(with_token("text behind", token + "x"));
  attacks.push_back(with_token("a fourth part", token + ".x"));
  attacks.push_back(with_token("a dot before", "." + token));
  attacks.push_back(with_token("two tokens in one", token + "," + token));
  attacks.push_back(with_token("two tokens with a space", token + " " + token));
  attacks.push_back(with_token("quotes around", "\"" + token + "\""));
  attacks.push_back(with_token("a space inside", token.substr(0, dot) + " " + token.substr(dot)));
  attacks.push_back(
      with_token("percent-encoded", token.substr(0, dot) + "%2E" + token.substr(dot + 1)));
  attacks.push_back(
      with_token("standard base64", token.substr(0, last + 1) + "++//" + token.substr(last + 5)));
  attacks.push_back(with_token("huge", token.substr(0, last) + std::string(20'000, 'A')));
  attacks.push_back(with_token("an encrypted token's five parts", token + ".AAAA.AAAA"));
  return attacks;
}

// Somebody with a good token, on the way to what it is not good for.
std::vector<Attack> path_attacks() {
  std::vector<Attack> attacks;
  for (const char* path : {"/internal",
                           "/internal/x",
                           "/admin/../internal",
                           "/admin/..//internal/../internal",
                           "/%69nternal",
                           "/internal%2fx",
                           "/%49nternal/../internal",
                           "/./internal",
                           "//internal",
                           "/admin/%2e%2e/internal",
                           "/admin/.%2e/internal",
                           "/admin/%2E./internal",
                           "/admin/..%2finternal",
                           "/admin/..%5cinternal",
                           "/admin\\..\\internal",
                           "/admin/..;/internal",
                           "/admin/..;x=y/internal",
                           "/admin/%2e%2e;/internal",
                           "/admin/%252e%252e/../../internal",
                           "/admin/..%c0%afinternal",
                           "/admin/%c0%ae%c0%ae/internal",
                           "/internal;x",
                           "/internal?x=/admin",
                           "/internal/.",
                           "/admin%00/../internal",
                           "/public/../internal/x",
                           "/public/..%2f..%2finternal",
                           "/public/%2e%2e%2fadmin/x",
                           "*",
                           "internal",
                           "http://web/internal",
                           "/INTERNAL",
                           "/adm in",
                           "/",
                           "/publi",
                           "/public",
                           "/other?/public/",
                           "/other;/public/",
                           "/other/%2fpublic/",
                           "/other#/public/"}) {
    Attack attack = with_token(std::string("path ") + path, good_token());
    attack.path = path;
    attacks.push_back(attack);
  }
  Attack trace = with_token("TRACE", good_token());
  trace.method = "TRACE";
  attacks.push_back(trace);
  for (const char* peer :
       {"", "spiffe://cluster.local/ns/evil/sa/web", "spiffe://cluster.local/ns/shop/sa/",
        "spiffe://cluster.local/ns/shopper/sa/web", "xspiffe://cluster.local/ns/shop/sa/web",
        "spiffe://cluster.local/ns/evil/ns/shop/sa/web", "spiffe:///ns/shop/sa/web",
        "https://cluster.local/ns/shop/sa/web"}) {
    Attack attack = with_token(std::string("caller ") + peer, good_token());
    attack.peer = peer;
    attacks.push_back(attack);
  }
  return attacks;
}

}  // namespace

config::JwtFilter tokens() {
  config::JwtFilter filter;
  const std::string keys = "{\"keys\":[" +
                           rsa().jwk(R"("kid":"k1","alg":"RS256","use":)"
                                     R"("sig",)") +
                           "," + ec().jwk(R"("kid":"k2","alg":"ES256",)") + "]}";
  filter.providers = {{.name = "p",
                       .issuer = "https://issuer.example",
                       .audiences = {"web"},
                       .inline_jwks = keys,
                       .payload_in_metadata = "payload",
                       .claim_to_headers = {{.header = "x-group", .claim = "group"}}}};
  filter.rules = {{.match = {.path = {.kind = config::PathMatch::Kind::kPrefix, .value = "/"}},
                   .required = {.kind = config::JwtRequirement::Kind::kProvider, .provider = "p"}}};
  return filter;
}

std::vector<config::RbacFilter> rules() {
  using Value = config::MetadataMatch::Value;
  const Value admin{.kind = Value::Kind::kString, .text = config::StringMatch::exact("admin")};
  const Value is_admin{.kind = Value::Kind::kAny,
                       .children = {admin, {.kind = Value::Kind::kOneOf, .children = {admin}}}};
  return {filter(config::RbacRules::Action::kDeny,
                 {policy("internal", path_prefix("/internal"), any()),
                  policy("trace", header(":method", "TRACE"), any()),
                  policy("outsiders", any(), none(caller_regex("spiffe://[^/]+/ns/shop/sa/.+")))}),
          filter(config::RbacRules::Action::kAllow,
                 {policy("admin", path_prefix("/admin"), claim({"group"}, is_admin)),
                  policy("public", path_prefix("/public/"), any())})};
}

std::vector<Attack> all_good() {
  Attack query{.name = "in the query", .path = "/public/x?access_token=" + good_token()};
  return {with_token("RS256", good_token()),
          with_token("ES256", forged(ec(), "ES256", R"({"alg":"ES256","kid":"k2"})")),
          with_token("one of two groups",
                     forged(rsa(), "RS256", kHeader, claims("\"admin\"", R"(["user","admin"])"))),
          query};
}

Attack nearly_expired() {
  return with_token("", forged(rsa(), "RS256", kHeader, claims("1750086400", "1749999941")));
}

std::vector<Attack> all() {
  std::vector<Attack> attacks;
  for (const auto& part :
       {header_attacks(), key_attacks(), claim_attacks(), place_attacks(), path_attacks()}) {
    attacks.insert(attacks.end(), part.begin(), part.end());
  }
  return attacks;
}

}  // namespace mesh::waypoint::jwt::attacks
