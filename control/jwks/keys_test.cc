#include "control/jwks/keys.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::control::jwks {
namespace {

using namespace std::chrono_literals;
using manifest::RequestAuthentication;

constexpr const char* kUri = "https://issuer.example/keys";
const std::string kSet = R"({"keys":[{"kty":"EC"}]})";

std::shared_ptr<const World> world(std::vector<manifest::JwtRule> rules) {
  RequestAuthentication object;
  object.metadata.ns = "shop";
  object.metadata.name = "jwt";
  object.rules = std::move(rules);
  return std::make_shared<const World>(
      Objects{{manifest::ObjectKey{manifest::Kind::kRequestAuthentication, "shop", "jwt"},
               std::make_shared<const manifest::Object>(std::move(object))}});
}

manifest::JwtRule by_uri(std::string uri) {
  manifest::JwtRule rule;
  rule.issuer = "issuer.example";
  rule.jwks_uri = std::move(uri);
  return rule;
}

std::string keys_in(const World& filled) {
  return filled.find<RequestAuthentication>("shop", "jwt")->rules[0].jwks;
}

std::unexpected<std::string> failed(const char* why) { return std::unexpected(std::string(why)); }

}  // namespace

TEST_CASE("keys that are named by a URI are fetched once, and stand in the object") {
  Keys keys;
  const Time now(1000s);
  const auto asked = world({by_uri(kUri), by_uri(kUri)});
  CHECK(keys.wake() == Time::max());
  keys.want(*asked);
  CHECK(keys.fill(asked) == asked);  // not known: nothing that could let a token in
  const auto fetch = keys.next(now);
  REQUIRE(fetch);
  CHECK(fetch->uri == kUri);
  CHECK_FALSE(keys.next(now));
  CHECK(keys.done(kUri, kSet, now));
  const auto filled = keys.fill(asked);
  CHECK(keys_in(*filled) == kSet);
  CHECK(keys_in(*asked).empty());  // the world of before stays as it is
  CHECK_FALSE(keys.next(now + 19min));
  REQUIRE(keys.next(now + 20min));
  CHECK_FALSE(keys.done(kUri, kSet, now + 20min));  // the same: no news

  keys.want(World{});
  CHECK(keys.wake() == Time::max());
  CHECK(keys.fill(asked) == asked);
}

TEST_CASE("keys that cannot be fetched anew stay for a day, and then fit nothing") {
  Keys keys;
  Time now(1000s);
  const auto asked = world({by_uri(kUri)});
  keys.want(*asked);
  REQUIRE(keys.next(now));
  REQUIRE(keys.done(kUri, kSet, now));
  const Time good = now;
  std::chrono::milliseconds longest{0};
  now = keys.wake();
  while (now < good + 24h) {
    REQUIRE(keys.next(now));
    CHECK_FALSE(keys.done(kUri, failed("no route"), now));
    CHECK(keys_in(*keys.fill(asked)) == kSet);
    longest =
        std::max(longest, std::chrono::duration_cast<std::chrono::milliseconds>(keys.wake() - now));
    now = keys.wake();
  }
  CHECK(longest == 5min);
  REQUIRE(keys.next(now));
  CHECK(keys.done(kUri, failed("no route"), now));
  CHECK(keys.fill(asked) == asked);
  CHECK(keys.statuses()[0].problem == "no route");
}

TEST_CASE("an answer that is no set of keys changes nothing") {
  const std::string many = [] {
    std::string text = R"({"keys":[)";
    for (int i = 0; i < 101; ++i) text += (i == 0 ? "{}" : ",{}");
    return text + "]}";
  }();
  for (const std::string& text :
       {std::string(), std::string("<html>"), std::string("[]"), std::string(R"({"keys":[]})"),
        std::string(R"({"keys":{}})"), std::string(R"({"keys":[{}]} x)"), many,
        R"({"keys":[{"x":")" + std::string(256 << 10, 'a') + "\"}]}"}) {
    INFO(text.substr(0, 60));
    CHECK_FALSE(read_key_set(text));
    Keys keys;
    keys.want(*world({by_uri(kUri)}));
    REQUIRE(keys.next({}));
    CHECK_FALSE(keys.done(kUri, text, {}));
    CHECK(keys.statuses()[0].known == false);
  }
  CHECK(read_key_set(kSet));
}

TEST_CASE("only http and https are fetched, only whole addresses, and not too many") {
  for (const std::string& uri :
       {std::string("file:///etc/passwd"), std::string("gopher://x/"), std::string(),
        std::string("https://x/ y"), std::string("https://x/\r\nHost: z"),
        "https://x/" + std::string(2048, 'a')}) {
    INFO(uri.substr(0, 40));
    Keys keys;
    keys.want(*world({by_uri(uri)}));
    CHECK_FALSE(keys.next({}));
  }
  std::vector<manifest::JwtRule> rules;
  for (int i = 0; i < 1'001; ++i) rules.push_back(by_uri(kUri + std::to_string(i)));
  Keys keys;
  keys.want(*world(rules));
  CHECK(keys.statuses().size() == 1'000);
  // Keys that are there already need no address.
  manifest::JwtRule given = by_uri(kUri);
  given.jwks = kSet;
  keys.want(*world({given}));
  CHECK(keys.statuses().empty());
}

}  // namespace mesh::control::jwks
