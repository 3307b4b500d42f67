// Keys that are fetched: whole exchanges whose issuer is behind the waypoint too, and fails in
// every way. Without keys that may still be used nobody gets in.

#include "waypoint/remote_keys.h"

#include <catch2/catch_test_macros.hpp>

#include "test/support/jwt_signer.h"
#include "waypoint/test_world.h"

namespace mesh::waypoint::test {
namespace {

using namespace std::chrono_literals;
using mesh::test::JwtSigner;

constexpr const char* kFailed = "jwt_authn_access_denied{Jwks_remote_fetch_is_failed}";

const JwtSigner& signer() {
  static const JwtSigner one(JwtSigner::Kind::kEd25519);
  return one;
}
const JwtSigner& successor() {
  static const JwtSigner one(JwtSigner::Kind::kEd25519);
  return one;
}

// The application is the issuer too.
struct Issuing {
  World world;
  std::string keys = signer().jwks(R"("kid":"a",)");
  int status = 200;
  bool silent = false;
  int fetched = 0;
  config::JwtFilter filter;

  Issuing() {
    filter.providers = {
        {.name = "p",
         .issuer = "issuer",
         .remote = {.cluster = "cart", .uri = "http://issuer.example/jwks?v=1", .timeout = 2s}}};
    filter.rules = {
        {.match = {.path = {.kind = config::PathMatch::Kind::kPrefix, .value = "/"}},
         .required = {.kind = config::JwtRequirement::Kind::kProvider, .provider = "p"}}};
    world.application.handler.serve = [this](wire::ServerStream& stream) { return serve(stream); };
    use();
  }
  void use() {
    world.chain.filters = {{.name = "jwt", .settings = filter}};
    world.use();
  }
  io::Task<void> serve(wire::ServerStream& stream) {
    const http::Request request = stream.take_request();
    if (request.path != "/jwks?v=1") {
      (void)co_await stream.respond({.status = 200, .headers = {}}, true);
      co_return;
    }
    ++fetched;
    CHECK(request.authority == "issuer.example");
    if (silent) co_await hbone::test::pass_until(*world.ring, world.ring->now() + 3s);
    (void)co_await stream.respond({.status = status, .headers = {}}, false);
    (void)co_await stream.write(bytes(keys));
    (void)co_await stream.finish({});
  }
  std::string token(const JwtSigner& by, const char* kid) const {
    return "Bearer " + by.token("EdDSA", std::string(R"({"alg":"EdDSA","kid":")") + kid + "\"}",
                                R"({"iss":"issuer"})");
  }
  io::Task<int> get(std::string token) {
    const Answer answer = co_await ask(world, {.headers = {{"authorization", std::move(token)}}});
    co_return answer.status;
  }
  io::Task<int> good() { return get(token(signer(), "a")); }
  io::Task<void> pass(io::Duration time) {
    return hbone::test::pass_until(*world.ring, world.ring->now() + time);
  }
};

io::Task<void> first_waits(Issuing& issuing) {
  const int first = co_await issuing.good();
  CHECK(first == 200);
  const int second = co_await issuing.good();
  CHECK(second == 200);
  const int forged = co_await issuing.get(issuing.token(successor(), "a"));
  CHECK(forged == 401);
  CHECK(issuing.fetched == 1);
}

TEST_CASE("the first token waits for its keys, the others find them") {
  Issuing issuing;
  issuing.world.run(first_waits(issuing));
  CHECK(issuing.world.context.authenticators.tokens().size() == 1);
}

io::Task<void> get_into(Issuing& issuing, int& passed) { passed += co_await issuing.good() == 200; }

io::Task<void> ask_together(Issuing& issuing) {
  int passed = 0;
  io::TaskScope scope;
  for (int i = 0; i < 10; ++i) scope.spawn(get_into(issuing, passed));
  co_await scope.join();
  CHECK(passed == 10);
  CHECK(issuing.fetched == 1);
}

TEST_CASE("many that wait wait for one fetch") {
  Issuing issuing;
  issuing.world.run(ask_together(issuing));
}

io::Task<void> fail_and_recover(Issuing& issuing, void (*mend)(Issuing&)) {
  const int refused = co_await issuing.good();
  CHECK(refused == 401);
  CHECK(issuing.world.kept.last().details == kFailed);
  const int asked = issuing.fetched;
  const int again = co_await issuing.good();  // no fetch for each who asks
  CHECK(again == 401);
  CHECK(issuing.fetched == asked);
  mend(issuing);
  co_await issuing.pass(1100ms);
  const int passed = co_await issuing.good();
  CHECK(passed == 200);
}

TEST_CASE("keys that cannot be had let nobody in, and are asked for again", "[time]") {
  struct Row {
    void (*spoil)(Issuing&);
    void (*mend)(Issuing&);
  };
  const auto put_back = [](Issuing& i) { i.keys = signer().jwks(R"("kid":"a",)"); };
  for (const Row& row : {
           Row{[](Issuing& i) { i.status = 500; }, [](Issuing& i) { i.status = 200; }},
           Row{[](Issuing& i) { i.status = 304; }, [](Issuing& i) { i.status = 200; }},
           Row{[](Issuing& i) { i.keys = "<html>"; }, put_back},
           Row{[](Issuing& i) { i.keys = R"({"keys":[]})"; }, put_back},
           Row{[](Issuing& i) { i.keys = std::string(jwt::kMaxKeySetBytes + 1, ' '); }, put_back},
           Row{[](Issuing& i) { i.silent = true; }, [](Issuing& i) { i.silent = false; }},
           Row{[](Issuing& i) { i.world.application.refuse_with = 503; },
               [](Issuing& i) { i.world.application.refuse_with = 0; }},
       }) {
    Issuing issuing;
    row.spoil(issuing);
    issuing.world.run(fail_and_recover(issuing, row.mend));
  }
}

io::Task<void> no_cluster(Issuing& issuing) {
  const int refused = co_await issuing.good();
  CHECK(refused == 401);
  CHECK(issuing.fetched == 0);
}

TEST_CASE("keys of a cluster that is not there let nobody in") {
  Issuing issuing;
  issuing.filter.providers[0].remote.cluster = "nowhere";
  issuing.use();
  issuing.world.run(no_cluster(issuing));
}

io::Task<void> rotate(Issuing& issuing) {
  const int before = co_await issuing.good();
  CHECK(before == 200);
  issuing.keys = successor().jwks(R"("kid":"b",)");
  const int early = co_await issuing.get(issuing.token(successor(), "b"));
  CHECK(early == 401);  // strangers do not make us fetch
  CHECK(issuing.fetched == 1);
  co_await issuing.pass(31s);
  const int late = co_await issuing.get(issuing.token(successor(), "b"));
  CHECK(late == 200);
  CHECK(issuing.fetched == 2);
  // The cached token was good with keys that are gone.
  const int old = co_await issuing.good();
  CHECK(old == 401);
}

TEST_CASE("a new key is fetched when a token names it, and takes the old one's tokens along",
          "[time]") {
  Issuing issuing;
  issuing.world.run(rotate(issuing));
}

io::Task<void> outlive(Issuing& issuing) {
  const int fresh = co_await issuing.good();
  CHECK(fresh == 200);
  issuing.status = 500;
  co_await issuing.pass(15s);
  const int stale = co_await issuing.good();  // and a fetch begins, beside
  CHECK(stale == 200);
  co_await issuing.pass(6s);
  const int gone = co_await issuing.good();
  CHECK(gone == 401);
  CHECK(issuing.world.kept.last().details == kFailed);
}

TEST_CASE("keys that cannot be replaced are good for twice their time, and then for nothing",
          "[time]") {
  Issuing issuing;
  issuing.filter.providers[0].remote.cache_for = 10s;
  issuing.use();
  issuing.world.run(outlive(issuing));
}

io::Task<void> ahead(Issuing& issuing) {
  issuing.world.remote_keys.prepare(*issuing.world.context.snapshot);
  while (issuing.world.remote_keys.counts().fetched == 0) co_await io::yield(*issuing.world.ring);
  CHECK(issuing.world.kept.records.empty());
  const int passed = co_await issuing.good();
  CHECK(passed == 200);
  CHECK(issuing.fetched == 1);
}

TEST_CASE("keys are fetched ahead of use where that is asked for") {
  Issuing issuing;
  issuing.filter.providers[0].remote.fetch_ahead = true;
  issuing.use();
  issuing.world.run(ahead(issuing));
}

io::Task<void> by_route(Issuing& issuing) {
  struct Row {
    const char* requirement;
    bool disabled, token;
    int status;
  };
  for (const Row& row : {Row{nullptr, false, false, 200}, Row{"strict", false, false, 401},
                         Row{"strict", false, true, 200}, Row{"strict", true, false, 200},
                         Row{"nobody", false, true, 403}, Row{"nothing", false, false, 200}}) {
    issuing.world.route.overrides = {};
    if (row.requirement != nullptr) {
      issuing.world.route.overrides.jwt_requirement = row.requirement;
    }
    issuing.world.route.overrides.jwt_disabled = row.disabled;
    issuing.use();
    const int status = co_await issuing.get(row.token ? issuing.token(signer(), "a") : "none");
    CHECK(status == row.status);
  }
}

TEST_CASE("a route asks for a requirement by its name, or for none") {
  Issuing issuing;
  issuing.filter.rules.clear();
  issuing.filter.named = {
      {"strict", {.kind = config::JwtRequirement::Kind::kProvider, .provider = "p"}},
      {"nothing", {.kind = config::JwtRequirement::Kind::kNone}}};
  issuing.use();
  issuing.world.run(by_route(issuing));
}

}  // namespace
}  // namespace mesh::waypoint::test
