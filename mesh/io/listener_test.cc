#include <algorithm>

#include "mesh/io/event.h"
#include "mesh/io/socket.h"
#include "mesh/io/test_bench.h"
#include "mesh/io/timer.h"
#include "test/support/eventually.h"

namespace mesh::io {
namespace {

using namespace std::chrono_literals;
using test::make_listener;
using test::make_ring;
using test::text;

Task<void> dial(Ring& ring, net::SocketAddress to, std::vector<Socket>& into) {
  ConnectOptions options;
  options.to = to;
  auto socket = co_await connect(ring, options);
  REQUIRE(socket.has_value());
  into.push_back(*std::move(socket));
}

Task<void> accept_many(Ring& ring) {
  Listener listener = make_listener(ring);
  std::vector<Socket> clients;
  std::vector<Socket> servers;
  TaskScope scope;
  for (int i = 0; i < 200; ++i) scope.spawn(dial(ring, listener.local_address(), clients));
  for (int i = 0; i < 200; ++i) {
    auto socket = co_await listener.accept();
    REQUIRE(socket.has_value());
    servers.push_back(*std::move(socket));
  }
  co_await scope.join();
  std::vector<net::SocketAddress> dialled;
  std::vector<net::SocketAddress> seen;
  for (const Socket& socket : clients) dialled.push_back(socket.local_address());
  for (const Socket& socket : servers) seen.push_back(socket.peer_address());
  std::ranges::sort(dialled);
  std::ranges::sort(seen);
  CHECK(dialled == seen);
}

TEST_CASE("two hundred connections at once are all accepted", "[listener]") {
  auto ring = make_ring();
  ring->run(accept_many(*ring));
  CHECK(ring->in_flight() == 0);
}

TEST_CASE("a ring of two entries flushes early and loses nothing", "[ring]") {
  RingOptions options;
  options.entries = 2;
  auto ring = make_ring(options);
  ring->run(accept_many(*ring));
  CHECK(ring->in_flight() == 0);
}

Task<void> accept_into(Listener& listener, std::optional<Result<Socket>>& outcome) {
  outcome.emplace(co_await listener.accept());
}

Task<void> close_while_accepting(Ring& ring) {
  Listener listener = make_listener(ring);
  std::optional<Result<Socket>> outcome;
  TaskScope scope;
  scope.spawn(accept_into(listener, outcome));
  const auto is_in_flight = [&] { return ring.in_flight() > 0; };
  const bool waits = co_await mesh::test::eventually(ring, is_in_flight);
  REQUIRE(waits);
  listener.close();
  co_await scope.join();
  REQUIRE(!outcome->has_value());
  CHECK(outcome->error().reason == Reason::kCancelled);
  const auto after = co_await listener.accept();
  CHECK(after.error().reason == Reason::kCancelled);

  ConnectOptions options;
  options.to = listener.local_address();
  auto refused = co_await connect(ring, options);
  for (int tries = 0; refused.has_value() && tries < 1000; ++tries) {  // the kernel takes a moment
    refused = co_await connect(ring, options);
  }
  REQUIRE(!refused.has_value());
  CHECK(refused.error().reason == Reason::kRefused);
}

TEST_CASE("close() ends an accept, and nobody can connect any more", "[listener]") {
  auto ring = make_ring();
  ring->run(close_while_accepting(*ring));
  CHECK(ring->in_flight() == 0);
}

Task<void> accept_again(Ring& ring) {
  Listener listener = make_listener(ring);
  const auto nobody = co_await with_deadline(ring, 1ms, "accept", listener.accept());
  CHECK(nobody.error().reason == Reason::kTimedOut);
  std::vector<Socket> clients;
  co_await dial(ring, listener.local_address(), clients);
  const auto somebody = co_await with_deadline(ring, 5s, "accept", listener.accept());
  CHECK(somebody.has_value());
}

TEST_CASE("an accept that timed out loses no connection", "[listener]") {
  auto ring = make_ring();
  ring->run(accept_again(*ring));
}

Task<void> close_unaccepted(Ring& ring) {
  std::vector<Socket> clients;
  {
    Listener listener = make_listener(ring);
    co_await dial(ring, listener.local_address(), clients);
    const auto nobody = co_await with_deadline(ring, 1ms, "", listener.accept());
    CHECK(nobody.has_value());
    // By the time that the last one is connected the ring has accepted those before it.
    for (int i = 0; i < 3; ++i) co_await dial(ring, listener.local_address(), clients);
  }
  for (std::size_t i = 1; i < clients.size(); ++i) {
    const auto seen = co_await with_deadline(ring, 5s, "reset", clients[i].recv_buffer());
    REQUIRE(!seen.has_value());
    CHECK(seen.error().reason == Reason::kPeerReset);
  }
}

TEST_CASE("a connection that nobody accepted is reset when the listener goes", "[listener]") {
  auto ring = make_ring();
  ring->run(close_unaccepted(*ring));
}

TEST_CASE("two listeners need reuse_port for one address", "[listener]") {
  auto ring = make_ring();
  ListenOptions options;
  options.at = test::loopback();
  auto first = Listener::listen(*ring, options);
  REQUIRE(first.has_value());
  options.at = first->local_address();
  CHECK(Listener::listen(*ring, options).has_value());
  options.reuse_port = false;
  const auto third = Listener::listen(*ring, options);
  REQUIRE(!third.has_value());
  CHECK(third.error().os_errno == EADDRINUSE);
}

Task<void> datagrams(Ring& ring) {
  ListenOptions options;
  options.at = test::loopback();
  auto server = DatagramSocket::open(ring, options);
  auto client = DatagramSocket::open(ring, options);
  REQUIRE(server.has_value());
  REQUIRE(client.has_value());
  CHECK(server->local_address() != client->local_address());

  const auto asked = co_await client->send_to(test::bytes("question"), server->local_address());
  CHECK(asked.has_value());
  std::array<std::byte, 5> little;
  const auto heard = co_await server->recv_from(little);
  REQUIRE(heard.has_value());
  CHECK(heard->peer == client->local_address());
  CHECK(heard->local == server->local_address());
  CHECK(heard->truncated);
  CHECK(text(little) == "quest");

  const auto sent = co_await server->send_to(test::bytes("answer"), heard->peer, heard->local);
  CHECK(sent.has_value());
  std::array<std::byte, 100> enough;
  const auto answer = co_await client->recv_from(enough);
  REQUIRE(answer.has_value());
  CHECK(!answer->truncated);
  CHECK(text(std::span(enough).first(answer->size)) == "answer");

  const auto nothing = co_await with_deadline(ring, 1ms, "", client->recv_from(enough));
  CHECK(nothing.error().reason == Reason::kTimedOut);
}

Task<void> hear_one_peer(Ring& ring) {
  ListenOptions options;
  options.at = test::loopback();
  auto closed = DatagramSocket::open(ring, options);
  auto stranger = DatagramSocket::open(ring, options);
  auto client = DatagramSocket::open(ring, options);
  REQUIRE((closed.has_value() && stranger.has_value() && client.has_value()));
  const net::SocketAddress peer = closed->local_address();
  REQUIRE(client->connect(peer).has_value());

  const auto strange = co_await stranger->send_to(test::bytes("forged"), client->local_address());
  CHECK(strange.has_value());
  const auto true_word = co_await closed->send_to(test::bytes("true"), client->local_address());
  CHECK(true_word.has_value());
  std::array<std::byte, 100> memory;
  const auto heard = co_await client->recv_from(memory);
  REQUIRE(heard.has_value());
  CHECK(heard->peer == peer);
  CHECK(text(std::span(memory).first(heard->size)) == "true");

  closed = std::unexpected(Error{.reason = Reason::kPeerClosed, .during = "gone"});
  const auto asked = co_await client->send_to(test::bytes("question"), peer);
  CHECK(asked.has_value());
  const auto answer = co_await with_deadline(ring, 5s, "", client->recv_from(memory));
  REQUIRE(!answer.has_value());
  CHECK(answer.error().reason == Reason::kRefused);
}

TEST_CASE("a datagram socket may hear one peer only, and that it is not there", "[datagram]") {
  auto ring = make_ring();
  ring->run(hear_one_peer(*ring));
  CHECK(ring->in_flight() == 0);
}

TEST_CASE("datagrams tell who sent them and what was dialled", "[datagram]") {
  auto ring = make_ring();
  ring->run(datagrams(*ring));
  CHECK(ring->in_flight() == 0);
}

}  // namespace
}  // namespace mesh::io
