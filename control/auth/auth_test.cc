// Tokens, their cache, and who a caller is: without an API server.

#include <catch2/catch_test_macros.hpp>

#include "control/auth/callers.h"
#include "control/auth/token_cache.h"
#include "control/auth/token_reviews.h"

namespace mesh::control::auth {
namespace {

using std::chrono::seconds;

const TokenCache::Time kStart{seconds(1000)};
const TokenIdentity kZtunnel{.ns = "weft-system",
                             .service_account = "weft-ztunnel",
                             .pod = "weft-ztunnel-x",
                             .pod_uid = "u1",
                             .node = "node-1"};

TokenCache::Digest token(int number) { return digest_of_token(std::to_string(number)); }

std::string review(std::string_view status) {
  return R"({"kind":"TokenReview","status":{)" + std::string(status) + "}}";
}
constexpr std::string_view kGood =
    R"("authenticated":true,"audiences":["istio-ca"],"user":{
    "username":"system:serviceaccount:weft-system:weft-ztunnel","extra":{
    "authentication.kubernetes.io/pod-name":["weft-ztunnel-x"],
    "authentication.kubernetes.io/pod-uid":["u1"],
    "authentication.kubernetes.io/node-name":["node-1"]}})";
const std::vector<std::string> kAudiences = {"istio-ca", "weft-ca"};

World world_with(std::string node, std::string uid) {
  manifest::Pod pod;
  pod.metadata.ns = "weft-system";
  pod.metadata.name = "weft-ztunnel-x";
  pod.metadata.uid = std::move(uid);
  pod.node_name = std::move(node);
  manifest::Object object(std::move(pod));
  const auto key = manifest::key_of(object);
  return World(Objects{{key, std::make_shared<const manifest::Object>(std::move(object))}});
}

ReviewOptions options() {
  ReviewOptions options;
  options.node_accounts = {"weft-system/weft-ztunnel"};
  return options;
}

}  // namespace

TEST_CASE("an accepted token is fresh for a while, and stands until its own end") {
  TokenCache cache({});
  CHECK_FALSE(cache.find(token(1), kStart));
  cache.accept(token(1), kZtunnel, seconds(3600), kStart);
  CHECK(cache.find(token(1), kStart + seconds(299))->fresh);
  const auto stale = cache.find(token(1), kStart + seconds(301));
  REQUIRE(stale);
  CHECK_FALSE(stale->fresh);
  CHECK(stale->identity->node == "node-1");
  CHECK(cache.find(token(1), kStart + seconds(3599)));
  CHECK_FALSE(cache.find(token(1), kStart + seconds(3600)));
}

TEST_CASE("a token that ends soon is not fresh beyond its end") {
  TokenCache cache({});
  cache.accept(token(1), kZtunnel, seconds(20), kStart);
  CHECK(cache.find(token(1), kStart + seconds(19))->fresh);
  CHECK_FALSE(cache.find(token(1), kStart + seconds(20)));
}

TEST_CASE(
    "a refused token is forgotten soon, and a token once good that is refused is good no more") {
  TokenCache cache({});
  cache.accept(token(1), kZtunnel, seconds(3600), kStart);
  cache.refuse(token(1), "its pod is gone", kStart);
  const auto known = cache.find(token(1), kStart + seconds(9));
  REQUIRE(known);
  CHECK_FALSE(known->identity);
  CHECK(known->why == "its pod is gone");
  CHECK_FALSE(cache.find(token(1), kStart + seconds(10)));
}

TEST_CASE("a flood of bad tokens drives out no good one, and the cache stays bounded") {
  TokenCache cache({.accepted = 2, .refused = 3});
  cache.accept(token(1), kZtunnel, seconds(3600), kStart);
  cache.accept(token(2), kZtunnel, seconds(3600), kStart);
  for (int i = 100; i < 200; ++i) cache.refuse(token(i), "no", kStart);
  CHECK(cache.size() == 5);
  CHECK(cache.find(token(1), kStart));
  cache.accept(token(3), kZtunnel, seconds(3600), kStart);
  CHECK(cache.find(token(1), kStart));
  CHECK_FALSE(cache.find(token(2), kStart));  // the one unused longest
}

TEST_CASE("a token's end is read from it, and only from a token that has one") {
  // {"alg":"none"} . {"exp":1234567890} . -
  CHECK(token_end("eyJhbGciOiJub25lIn0.eyJleHAiOjEyMzQ1Njc4OTB9.x") == 1234567890);
  CHECK_FALSE(token_end("eyJhbGciOiJub25lIn0.e30.x"));              // {}
  CHECK_FALSE(token_end("eyJhbGciOiJub25lIn0.eyJleHAiOiIxIn0.x"));  // {"exp":"1"}
  CHECK_FALSE(token_end("eyJhbGciOiJub25lIn0.W10.x"));              // []
  CHECK_FALSE(token_end("eyJhbGciOiJub25lIn0.*.x"));
  CHECK_FALSE(token_end("a.b"));
  CHECK_FALSE(token_end(""));
}

TEST_CASE("what the API server says about a token") {
  const auto good = read_review(review(kGood), kAudiences);
  REQUIRE(good);
  CHECK(good->ns == "weft-system");
  CHECK(good->service_account == "weft-ztunnel");
  CHECK(good->node == "node-1");
  CHECK(good->pod_uid == "u1");
  struct Row {
    const char* status;
    bool about_token;
  };
  for (const Row row :
       {Row{R"("authenticated":false,"error":"token has expired")", true},
        Row{R"("user":{"username":"system:serviceaccount:a:b"},"audiences":["istio-ca"])", true},
        // It was accepted for somebody else, or by a server that knows no audiences.
        Row{R"("authenticated":true,"audiences":["vault"],
            "user":{"username":"system:serviceaccount:a:b"})",
            true},
        Row{R"("authenticated":true,"user":{"username":"system:serviceaccount:a:b"})", true},
        Row{R"("authenticated":true,"audiences":["istio-ca"],"user":{"username":"admin"})", true},
        Row{R"("authenticated":true,"audiences":["istio-ca"],
            "user":{"username":"system:serviceaccount::b"})",
            true}}) {
    INFO(row.status);
    const auto read = read_review(review(row.status), kAudiences);
    REQUIRE_FALSE(read);
    CHECK(read.error().about_token == row.about_token);
  }
  for (const char* text : {"", "[]", "{}", R"({"kind":"Status"})"}) {
    const auto read = read_review(text, kAudiences);
    REQUIRE_FALSE(read);
    CHECK_FALSE(read.error().about_token);
  }
}

TEST_CASE("a question names the audiences, and a token cannot leave its place in it") {
  CHECK(review_request("a\",\"audiences\":[\"", kAudiences).find(R"(a\",\"audiences\":[\"")") !=
        std::string::npos);
  CHECK(review_request("t", kAudiences).find(R"("audiences":["istio-ca","weft-ca"])") !=
        std::string::npos);
}

TEST_CASE("a ztunnel's token is that of its pod's node, and of no other") {
  const World there = world_with("node-1", "u1");
  const auto caller = caller_of(kZtunnel, options(), &there);
  REQUIRE(caller);
  CHECK(caller->node == "node-1");
  // What we know of the pod has the last word.
  const World elsewhere = world_with("node-2", "u1");
  CHECK(caller_of(kZtunnel, options(), &elsewhere).error().code == kPermissionDenied);
  // A pod of the same name that came after it says nothing about this token.
  const World later = world_with("node-2", "u2");
  CHECK(caller_of(kZtunnel, options(), &later)->node == "node-1");
  // An API server that does not say the node: our own copy does.
  TokenIdentity silent = kZtunnel;
  silent.node.clear();
  CHECK(caller_of(silent, options(), &there)->node == "node-1");
  CHECK(caller_of(silent, options(), &later).error().code == kUnavailable);
  CHECK(caller_of(silent, options(), nullptr).error().code == kUnavailable);
  TokenIdentity unbound = kZtunnel;
  unbound.pod.clear();
  CHECK(caller_of(unbound, options(), &there).error().code == kPermissionDenied);
}

TEST_CASE("anybody else's token is its account, whatever node it is on") {
  TokenIdentity web = kZtunnel;
  web.ns = "shop";
  web.service_account = "web";
  const auto caller = caller_of(web, options(), nullptr);
  REQUIRE(caller);
  CHECK_FALSE(caller->is_node());
  CHECK(caller->ns == "shop");
}

namespace {

struct Fixed final : Authenticator {
  Answer answer;
  unsigned asked = 0;
  explicit Fixed(Answer what) : answer(std::move(what)) {}
  void authenticate(const Credentials&, std::function<void(Answer)> then) override {
    ++asked;
    then(answer);
  }
};

Authenticator::Answer ask(Callers& callers, const Credentials& credentials) {
  Authenticator::Answer answer = std::unexpected(RpcError{.code = 0, .message = "silence"});
  callers.authenticate(credentials, [&](Authenticator::Answer said) { answer = std::move(said); });
  return answer;
}

}  // namespace

TEST_CASE("a certificate is its account and never a node; a token goes first") {
  Fixed nobody(std::unexpected(RpcError{kUnauthenticated, "no"}));
  Fixed node(Caller{.node = "node-1", .ns = {}, .service_account = {}});
  Callers callers({&nobody, &node}, {"cluster.local", "old.example"});
  const auto by_certificate =
      ask(callers, {.authorization = {}, .certificate = "spiffe://old.example/ns/shop/sa/web"});
  REQUIRE(by_certificate);
  CHECK(by_certificate->ns == "shop");
  CHECK(by_certificate->service_account == "web");
  CHECK_FALSE(by_certificate->is_node());
  CHECK(node.asked == 0);
  for (const char* uri : {"spiffe://evil.example/ns/shop/sa/web", "spiffe://cluster.local/web",
                          "https://cluster.local/ns/shop/sa/web"}) {
    CHECK(ask(callers, {.authorization = {}, .certificate = uri}).error().code == kUnauthenticated);
  }
  CHECK(ask(callers,
            {.authorization = "Bearer x", .certificate = "spiffe://cluster.local/ns/shop/sa/web"})
            ->node == "node-1");
}

TEST_CASE("who refuses for another reason than not knowing the token ends the question") {
  Fixed away(std::unexpected(RpcError{kUnavailable, "away"}));
  Fixed node(Caller{.node = "node-1", .ns = {}, .service_account = {}});
  Callers callers({&away, &node}, {});
  CHECK(ask(callers, {.authorization = "Bearer x", .certificate = {}}).error().code ==
        kUnavailable);
  CHECK(node.asked == 0);
}

}  // namespace mesh::control::auth
