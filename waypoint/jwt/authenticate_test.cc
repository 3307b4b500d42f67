#include "waypoint/jwt/authenticate.h"

#include <catch2/catch_test_macros.hpp>

#include "test/support/jwt_signer.h"

namespace mesh::waypoint::jwt {
namespace {

using config::JwtRequirement;
using test::JwtSigner;
using Kind = JwtRequirement::Kind;

constexpr std::chrono::sys_seconds kNow{std::chrono::seconds(1'800'000'000)};

const JwtSigner& first() {
  static const JwtSigner signer(JwtSigner::Kind::kP256);
  return signer;
}
const JwtSigner& second() {
  static const JwtSigner signer(JwtSigner::Kind::kEd25519);
  return signer;
}

std::string token_of(const char* issuer, const std::string& more = "") {
  const bool of_first = std::string_view(issuer) == "first";
  const JwtSigner& signer = of_first ? first() : second();
  const char* const algorithm = of_first ? "ES256" : "EdDSA";
  return signer.token(algorithm, std::string(R"({"alg":")") + algorithm + R"("})",
                      std::string(R"({"iss":")") + issuer + R"(","sub":"ann")" + more + "}");
}

JwtRequirement needs(const char* provider) {
  return {.kind = Kind::kProvider, .provider = provider};
}
JwtRequirement any_of(std::vector<JwtRequirement> children) {
  return {.kind = Kind::kAny, .children = std::move(children)};
}

// "a" of issuer first in the default places, "b" of issuer second in x-jwt.
config::JwtFilter filter(JwtRequirement required) {
  config::JwtFilter made;
  made.providers = {{.name = "a",
                     .issuer = "first",
                     .inline_jwks = first().jwks(),
                     .payload_in_metadata = "payload",
                     .space_delimited_claims = {"scope"},
                     .claim_to_headers = {{.header = "x-sub", .claim = "sub"}}},
                    {.name = "b",
                     .issuer = "second",
                     .inline_jwks = second().jwks(),
                     .from_headers = {{.name = "x-jwt", .value_prefix = "J "}},
                     .from_params = {"tok"},
                     .forward_payload_header = "x-payload",
                     .payload_in_metadata = "payload"}};
  made.rules = {{.match = {.path = {.kind = config::PathMatch::Kind::kPrefix, .value = "/"}},
                 .required = std::move(required)}};
  return made;
}

// What istiod asks for: one of them, or none at all.
JwtRequirement istio() {
  const JwtRequirement missing{.kind = Kind::kAllowMissing};
  return any_of({needs("a"),
                 needs("b"),
                 {.kind = Kind::kAll,
                  .children = {any_of({needs("a"), missing}), any_of({needs("b"), missing})}}});
}

http::Request get(h2::Headers headers, std::string path = "/") {
  return {
      .method = "GET", .authority = "web", .path = std::move(path), .headers = std::move(headers)};
}

Authentication run(const config::JwtFilter& filter, http::Request& request,
                   const KeysPtr& fetched = nullptr) {
  http::Dice dice(1);
  return Authenticator(filter).authenticate(
      request, kNow, [&fetched](std::string_view) { return fetched; }, dice);
}

TEST_CASE("a good token's claims become metadata and headers, and the token goes") {
  auto request = get({{"authorization", "Bearer " + token_of("first", R"(,"scope":"r w")")},
                      {"x-sub", "forged"},
                      {"x-payload", "forged"}},
                     "/?access_token=&q=1");
  const Authentication result = run(filter(needs("a")), request);
  CHECK(result.ok);
  CHECK(request.headers == h2::Headers{{"x-sub", "ann"}});
  const auto* payload = result.metadata.member("payload");
  REQUIRE(payload != nullptr);
  CHECK(payload->member("iss")->text == "first");
  CHECK(payload->member("scope")->list.size() == 2);
}

TEST_CASE("tokens are found where their provider looks, and nowhere else") {
  struct Row {
    h2::Headers headers;
    const char* path;
    const char* provider;
    bool ok;
  };
  const std::string a = token_of("first");
  const std::string b = token_of("second");
  const std::string in_query = "/?access_token=" + a + "&x=1";
  const std::string tok = "/?x=1&tok=" + b;
  for (const Row& row : {
           Row{{{"authorization", "Bearer " + a}}, "/", "a", true},
           Row{{{"authorization", "bearer " + a}}, "/", "a", true},
           Row{{{"authorization", "Bearer  " + a + " "}}, "/", "a", true},
           Row{{}, in_query.c_str(), "a", true},
           Row{{{"x-jwt", "J " + b}}, "/", "b", true},
           Row{{}, tok.c_str(), "b", true},
           Row{{{"authorization", "Basic " + a}}, "/", "a", false},
           Row{{{"authorization", a}}, "/", "a", false},
           Row{{{"x-jwt", "J " + a}}, "/", "a", false},
           Row{{{"x-jwt", b}}, "/", "b", false},
           Row{{{"authorization", "Bearer " + b}}, "/", "b", false},
       }) {
    auto request = get(row.headers, row.path);
    CHECK(run(filter(needs(row.provider)), request).ok == row.ok);
  }
  auto request = get({}, in_query);
  run(filter(needs("a")), request);
  CHECK(request.path == "/?x=1");
}

TEST_CASE("what istiod asks for: no token passes, each good one passes, a bad one never") {
  const std::string a = token_of("first");
  const std::string other = token_of("first", R"(,"x":1)");
  const std::string b = token_of("second");
  struct Row {
    h2::Headers headers;
    bool ok;
    Status status;
  };
  for (const Row& row : {
           Row{{}, true, Status::kOk},
           Row{{{"authorization", "Bearer " + a}}, true, Status::kOk},
           Row{{{"x-jwt", "J " + b}}, true, Status::kOk},
           Row{{{"authorization", "Bearer " + a}, {"x-jwt", "J " + b}}, true, Status::kOk},
           Row{{{"authorization", "Bearer x.y.z"}}, false, Status::kMalformed},
           Row{{{"authorization", "Bearer " + b}}, false, Status::kUnknownIssuer},
           // Envoy lets this one pass, and the application sees both.
           Row{{{"authorization", "Bearer " + a}, {"x-jwt", "J " + other}},
               false,
               Status::kUnknownIssuer},
           Row{{{"authorization", "Bearer " + a}, {"authorization", "Bearer " + a}},
               false,
               Status::kSeveral},
       }) {
    auto request = get(row.headers);
    const Authentication result = run(filter(istio()), request);
    CHECK(result.ok == row.ok);
    CHECK(result.status == row.status);
  }
}

TEST_CASE("requirements combine") {
  const JwtRequirement failed{.kind = Kind::kAllowMissingOrFailed};
  const JwtRequirement missing{.kind = Kind::kAllowMissing};
  const JwtRequirement both{.kind = Kind::kAll, .children = {needs("a"), needs("b")}};
  const h2::Headers bad = {{"authorization", "Bearer x"}};
  const auto passes = [](const JwtRequirement& required, h2::Headers headers) {
    auto request = get(std::move(headers));
    return run(filter(required), request).ok;
  };
  CHECK(passes(failed, bad));
  CHECK(passes(any_of({needs("a"), failed}), bad));
  CHECK_FALSE(passes(missing, bad));
  CHECK(passes(missing, {}));
  CHECK_FALSE(passes(both, {{"authorization", "Bearer " + token_of("first")}}));
  CHECK(passes(both, {{"authorization", "Bearer " + token_of("first")},
                      {"x-jwt", "J " + token_of("second")}}));
  CHECK(passes({.kind = Kind::kNone}, bad));
  CHECK_FALSE(passes(needs("nobody"), {}));
  CHECK_FALSE(passes(any_of({}), {}));
}

TEST_CASE("a rule is found by its match; without one nothing is asked") {
  auto rules = filter(needs("a"));
  rules.rules[0].match.path.value = "/secure";
  auto open = get({}, "/open");
  CHECK(run(rules, open).ok);
  auto secure = get({}, "/secure/x");
  CHECK_FALSE(run(rules, secure).ok);
  auto preflight = get({{"origin", "o"}, {"access-control-request-method", "GET"}}, "/secure");
  preflight.method = "OPTIONS";
  CHECK_FALSE(run(rules, preflight).ok);
  rules.bypass_cors_preflight = true;
  CHECK(run(rules, preflight).ok);
}

TEST_CASE("fetched keys count like inline ones, and none is a no") {
  auto remote = filter(needs("a"));
  remote.providers[0].inline_jwks.clear();
  auto request = get({{"authorization", "Bearer " + token_of("first")}});
  CHECK(run(remote, request).status == Status::kNoKeys);
  const Authentication other = run(remote, request, *Keys::parse(second().jwks()));
  CHECK(other.status == Status::kUnknownKey);
  CHECK(other.unknown_key_at == std::vector<std::string>{"a"});
  CHECK(run(remote, request, *Keys::parse(first().jwks())).ok);
  auto broken = filter(needs("a"));
  broken.providers[0].inline_jwks = "{}";
  CHECK(Authenticator(broken).problems().size() == 1);
  CHECK(run(broken, request).status == Status::kMissing);  // taken out by the good run above
}

TEST_CASE("a good token is remembered with its keys, and still judged") {
  TokenCache cache;
  http::Dice dice(1);
  const Authenticator authenticator(filter(needs("a")));
  const Authenticator other_keys([] {
    auto changed = filter(needs("a"));
    changed.providers[0].inline_jwks = JwtSigner(JwtSigner::Kind::kP256).jwks();
    return changed;
  }());
  const auto run_at = [&](const Authenticator& by, std::string token, std::chrono::seconds later) {
    auto request = get({{"authorization", "Bearer " + std::move(token)}});
    return by
        .authenticate(request, kNow + later, [](std::string_view) { return KeysPtr(); }, dice,
                      {.cache = &cache})
        .status;
  };
  const std::string token = token_of("first", R"(,"exp":1800000010)");
  CHECK(run_at(authenticator, token, {}) == Status::kOk);
  CHECK(cache.size() == 1);
  CHECK(run_at(authenticator, token, {}) == Status::kOk);
  // One bit of the signature, another's keys, later than its end.
  std::string forged = token;
  forged[forged.size() - 5] = forged[forged.size() - 5] == 'A' ? 'B' : 'A';
  CHECK(run_at(authenticator, forged, {}) == Status::kBadSignature);
  CHECK(run_at(other_keys, token, {}) == Status::kBadSignature);
  CHECK(cache.size() == 1);
  CHECK(run_at(authenticator, token, std::chrono::seconds(71)) == Status::kExpired);
  CHECK(cache.size() == 0);
}

TEST_CASE("the cache of tokens is bounded") {
  TokenCache cache;
  const auto token = std::make_shared<const Token>();
  for (std::size_t i = 0; i < 2 * TokenCache::kMaxTokens; ++i) {
    cache.remember(std::to_string(i), {.token = token});
    CHECK(cache.find("0").token == token);  // in use: it stays
  }
  CHECK(cache.size() == TokenCache::kMaxTokens);
  CHECK(cache.find("1").token == nullptr);
  for (int i = 0; i < 200; ++i) {
    cache.remember(std::string(16'000, 'x') + std::to_string(i), {.token = token});
  }
  CHECK(cache.bytes() <= TokenCache::kMaxBytes);
  CHECK(cache.size() <= TokenCache::kMaxBytes / 16'000 + 1);
}

TEST_CASE("a refusal says what is wrong to who asks") {
  auto request = get({}, "/a\"b");
  const Authentication missing = run(filter(needs("a")), request);
  CHECK(missing.http_status == 401);
  CHECK(missing.www_authenticate == "Bearer realm=\"http://web/ab\"");
  auto with_audience = filter(needs("a"));
  with_audience.providers[0].audiences = {"other"};
  auto carried = get({{"authorization", "Bearer " + token_of("first")}});
  const Authentication audience = run(with_audience, carried);
  CHECK(audience.http_status == 403);
  CHECK(audience.www_authenticate.ends_with("error=\"invalid_token\""));
}

TEST_CASE("audiences are compared without scheme and last slash") {
  auto rules = filter(needs("a"));
  rules.providers[0].audiences = {"https://web.example"};
  const auto passes = [&rules](const char* claim) {
    auto request = get({{"authorization", "Bearer " + token_of("first", claim)}});
    return run(rules, request).ok;
  };
  CHECK(passes(R"(,"aud":"https://web.example/")"));
  CHECK(passes(R"(,"aud":["x","web.example"])"));
  CHECK_FALSE(passes(R"(,"aud":"web.example.evil")"));
  CHECK_FALSE(passes(R"(,"aud":"")"));
  CHECK_FALSE(passes(""));
}

}  // namespace
}  // namespace mesh::waypoint::jwt
