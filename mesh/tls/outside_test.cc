// Whom a context towards the outside trusts, and what it refuses to be made of.

#include "mesh/tls/outside.h"

#include <openssl/ssl.h>

#include <catch2/catch_test_macros.hpp>

#include "mesh/tls/context_impl.h"
#include "mesh/tls/session.h"
#include "test/support/test_ca.h"

namespace mesh::tls {
namespace {

TEST_CASE("a context towards the outside needs roots, a name, and protocols that are some") {
  const mesh::test::TestCa ca;
  const std::string root = ca.bundle().to_pem();
  const struct {
    const char* what;
    OutsideServer server;
    bool good;
  } rows[] = {
      {"whole", {.name = "api.example", .alpn = {"http/1.1"}, .roots = root}, true},
      {"no protocols", {.name = "api.example", .alpn = {}, .roots = root}, true},
      {"roots twice", {.name = "api.example", .alpn = {"h2"}, .roots = root + "\n" + root}, true},
      {"no roots", {.name = "api.example", .alpn = {"h2"}, .roots = ""}, false},
      {"no name", {.name = "", .alpn = {"h2"}, .roots = root}, false},
      {"an empty protocol", {.name = "api.example", .alpn = {""}, .roots = root}, false},
      {"a certificate without a key",
       {.name = "api.example", .alpn = {"h2"}, .roots = root, .certificate = root},
       false},
      {"garbage among the roots",
       {.name = "api.example",
        .alpn = {"h2"},
        .roots = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + root},
       false},
      {"garbage in a system's",
       {.name = "api.example",
        .alpn = {"h2"},
        .roots = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + root,
        .lenient_roots = true},
       true},
      {"too long",
       {.name = "api.example",
        .alpn = {"h2"},
        .roots = std::string(kOutsideRootsBytesMax, ' ') + root},
       false},
  };
  for (const auto& row : rows) {
    INFO(row.what);
    CHECK(context_for_outside(row.server).has_value() == row.good);
  }
}

TEST_CASE("a file may hold a certificate and its key together") {
  const mesh::test::TestCa ca;
  const Credentials own = ca.issue(mesh::test::LeafOptions{.names = {"me.example"}});
  const std::string chain = own.chain.to_pem();
  const std::string key = own.key.to_pem();
  for (const std::string& both : {key + chain, chain + key, "# mine\n" + chain + key}) {
    const auto made = context_for_outside(
        {.name = "api.example", .roots = ca.bundle().to_pem(), .certificate = both, .key = both});
    CHECK(made.has_value());
  }
  CHECK_FALSE(context_for_outside(
      {.name = "api.example", .roots = ca.bundle().to_pem(), .certificate = key, .key = key}));
}

// ---- TLS 1.2 ----

constexpr WallSeconds kNow{std::chrono::seconds(1'800'000'000)};

struct Pair {
  std::unique_ptr<Session> client, server;
  std::vector<Slice> to_client = {}, to_server = {};
  Result<Done> fed = Done{};

  // What one has to say reaches the other, until both are silent.
  void settle() {
    for (int turn = 0; turn < 20 && fed; ++turn) {
      if (!move(*client, *server, to_server) && !move(*server, *client, to_client)) break;
    }
  }
  bool move(Session& from, Session& to, std::vector<Slice>& into) {
    std::vector<Piece> pieces;
    from.take_output(pieces);
    return carry(pieces, to, into);
  }
  bool carry(std::vector<Piece>& pieces, Session& to, std::vector<Slice>& into) {
    for (const Piece& piece : pieces) {
      const auto done = to.feed(Slice::copy_of(piece.bytes()), into);
      if (!done) fed = done;
    }
    return !pieces.empty();
  }
};

std::string text(const std::vector<Slice>& parts) {
  std::string all;
  for (const Slice& part : parts) {
    all.append(reinterpret_cast<const char*>(part.bytes().data()), part.size());
  }
  return all;
}

// A server of TLS 1.2 alone, and a client that may or may not speak it.
Pair pair_with(OutsideServer::Tls12 how) {
  const mesh::test::TestCa ca("outside.example");
  const Credentials shown =
      ca.issue(mesh::test::LeafOptions{.names = {"api.example"},
                                       .not_before = kNow - std::chrono::hours(1),
                                       .not_after = kNow + std::chrono::hours(1)});
  const auto server = Context::for_open_server(shown.chain, shown.key).value();
  SSL_CTX* const ctx = server->impl().ssl.get();
  REQUIRE(SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1);
  REQUIRE(SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION) == 1);
  const auto client =
      context_for_outside(
          {.name = "api.example", .alpn = {"h2"}, .roots = ca.bundle().to_pem(), .tls12 = how})
          .value();
  SessionOptions options;
  options.now = kNow;
  Pair pair{.client = Session::create(client, options).value(),
            .server = Session::create(server, options).value()};
  pair.settle();
  return pair;
}

TEST_CASE("a server that has nothing better is spoken to by TLS 1.2 where that is allowed") {
  using Tls12 = OutsideServer::Tls12;
  CHECK_FALSE(pair_with(Tls12::kNo).client->open());
  for (const auto how : {Tls12::kAllowed, Tls12::kOnly}) {
    Pair pair = pair_with(how);
    REQUIRE(pair.fed.has_value());
    REQUIRE(pair.client->open());
    REQUIRE(pair.server->open());
    CHECK(pair.client->cipher().starts_with("TLS_ECDHE_"));
    const std::string large(50'000, 'x');
    std::vector<Piece> pieces;
    REQUIRE(pair.client->seal(Piece::copy_of(std::as_bytes(std::span(large))), pieces));
    pair.carry(pieces, *pair.server, pair.to_server);
    CHECK(text(pair.to_server) == large);
    pieces.clear();
    REQUIRE(pair.server->seal(Piece::copy_of(std::as_bytes(std::span("hello", 5))), pieces));
    pair.carry(pieces, *pair.client, pair.to_client);
    CHECK(text(pair.to_client) == "hello");
    pair.server->close_notify();
    pair.settle();
    CHECK(pair.client->state() == Session::State::kPeerClosed);
  }
}

TEST_CASE("a record of TLS 1.2 that was changed on its way ends the session") {
  Pair pair = pair_with(OutsideServer::Tls12::kAllowed);
  REQUIRE(pair.client->open());
  std::vector<Piece> pieces;
  REQUIRE(pair.server->seal(Piece::copy_of(std::as_bytes(std::span("hello", 5))), pieces));
  REQUIRE(pieces.size() == 1);
  std::vector<std::byte> bytes(pieces[0].bytes().begin(), pieces[0].bytes().end());
  bytes.back() ^= std::byte{1};
  const auto fed = pair.client->feed(Slice::copy_of(bytes), pair.to_client);
  CHECK_FALSE(fed.has_value());
  CHECK(pair.to_client.empty());
  CHECK(pair.client->state() == Session::State::kFailed);
}

}  // namespace
}  // namespace mesh::tls
