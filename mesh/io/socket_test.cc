#include "mesh/io/socket.h"

#include <algorithm>
#include <catch2/generators/catch_generators.hpp>
#include <random>
#include <vector>

#include "mesh/io/both.h"
#include "mesh/io/event.h"
#include "mesh/io/kernel_features.h"
#include "mesh/io/ring_impl.h"
#include "mesh/io/task_scope.h"
#include "mesh/io/test_bench.h"
#include "mesh/io/timer.h"
#include "test/support/eventually.h"

namespace mesh::io {
namespace {

using namespace std::chrono_literals;
using test::bytes;
using test::loopback;
using test::make_listener;
using test::make_pair_of;
using test::make_ring;
using test::Pair;
using test::read_to_end;
using test::text;

std::string pattern(std::size_t size) {
  std::string made(size, ' ');
  std::minstd_rand random(7);
  for (char& c : made) c = static_cast<char>(random());
  return made;
}

Task<void> talk(Ring& ring) {
  Listener listener = make_listener(ring);
  Pair pair;
  co_await make_pair_of(ring, listener, pair);
  CHECK(pair.client->peer_address() == listener.local_address());
  CHECK(pair.server->local_address() == listener.local_address());
  CHECK(pair.server->peer_address() == pair.client->local_address());

  const auto sent = co_await pair.client->send_all(bytes("ping"));
  CHECK(sent.has_value());
  CHECK(pair.client->finish_sending().has_value());
  const std::string heard = co_await read_to_end(*pair.server);
  CHECK(heard == "ping");

  const auto answered = co_await pair.server->send_all(bytes("pong, although you finished"));
  CHECK(answered.has_value());
  CHECK(pair.server->finish_sending().has_value());
  const std::string answer = co_await read_to_end(*pair.client);
  CHECK(answer == "pong, although you finished");
}

TEST_CASE("a client that finishes sending still receives the whole answer", "[socket]") {
  auto ring = make_ring();
  ring->run(talk(*ring));
  CHECK(ring->in_flight() == 0);
}

Task<Result<Done>> send_and_finish(Socket& socket, std::string_view data) {
  CO_TRY_DO(co_await socket.send_all(bytes(data)));
  co_return socket.finish_sending();
}

Task<Result<std::string>> collect(Socket& socket, BufferClass kind) {
  std::string all;
  for (;;) {
    CO_TRY(Buffer buffer, co_await socket.recv_buffer(kind));
    if (buffer.empty()) co_return all;
    CHECK(buffer.headroom() >= kHeadroom);
    CHECK(buffer.tailroom() >= kTailroom);
    all += text(buffer.bytes());
    while (auto more = socket.take_ready()) all += text(more->bytes());
  }
}

Task<void> bulk(Ring& ring, BufferClass kind) {
  Listener listener = make_listener(ring);
  Pair pair;
  co_await make_pair_of(ring, listener, pair);
  const std::string data = pattern(3'000'017);
  auto ends = co_await both(send_and_finish(*pair.client, data), collect(*pair.server, kind));
  CHECK(ends.first.has_value());
  REQUIRE(ends.second.has_value());
  CHECK(*ends.second == data);
}

TEST_CASE("megabytes arrive complete and in order, in buffers of either class", "[socket]") {
  auto ring = make_ring();
  ring->run(bulk(*ring, BufferClass::kRelay));
  ring->run(bulk(*ring, BufferClass::kWire));
  CHECK(ring->in_flight() == 0);
}

Task<void> gather(Ring& ring) {
  Listener listener = make_listener(ring);
  Pair pair;
  co_await make_pair_of(ring, listener, pair);
  const std::string data = pattern(100'000);
  std::vector<std::span<const std::byte>> pieces;
  std::size_t at = 0;
  for (std::size_t length = 0; at < data.size(); length = (length * 5 + 3) % 4096) {
    length = std::min(length, data.size() - at);
    pieces.push_back(bytes(std::string_view(data).substr(at, length)));
    at += length;
  }
  CHECK(pieces.size() > 40);
  const auto sent = co_await pair.client->send_all(pieces);
  CHECK(sent.has_value());
  CHECK(pair.client->finish_sending().has_value());
  const std::string heard = co_await read_to_end(*pair.server);
  CHECK(heard == data);
}

TEST_CASE("any number of pieces, empty ones among them, is sent as one stream", "[socket]") {
  auto ring = make_ring();
  ring->run(gather(*ring));
}

Task<void> cancelled_receive_loses_nothing(Ring& ring) {
  Listener listener = make_listener(ring);
  Pair pair;
  co_await make_pair_of(ring, listener, pair);
  for (int round = 0; round < 5; ++round) {
    auto nothing = co_await with_deadline(ring, 1ms, "read", pair.server->recv_buffer());
    REQUIRE(!nothing.has_value());
    CHECK(nothing.error().reason == Reason::kTimedOut);
    CHECK(std::string_view(nothing.error().during) == "read");
  }
  const auto sent = co_await pair.client->send_all(bytes("late"));
  CHECK(sent.has_value());
  const auto got = co_await pair.server->recv_buffer();
  REQUIRE(got.has_value());
  CHECK(text(got->bytes()) == "late");
}

TEST_CASE("a receive that timed out can be tried again and loses nothing", "[socket]") {
  auto ring = make_ring();
  ring->run(cancelled_receive_loses_nothing(*ring));
}

Task<void> into_own_memory(Ring& ring) {
  Listener listener = make_listener(ring);
  Pair pair;
  co_await make_pair_of(ring, listener, pair);
  const auto sent = co_await pair.client->send_all(bytes("abcdefgh"));
  CHECK(sent.has_value());
  const auto first = co_await pair.server->recv_buffer();
  REQUIRE(first.has_value());
  CHECK(text(first->bytes()) == "abcdefgh");
  // A multishot receive is armed now; reading into own memory goes through it.
  const auto again = co_await pair.client->send_all(bytes("12345"));
  CHECK(again.has_value());
  std::array<std::byte, 3> memory;
  const auto three = co_await pair.server->recv(memory);
  REQUIRE(three.has_value());
  CHECK(text(std::span(memory).first(*three)) == "123");
  const auto two = co_await pair.server->recv(memory);
  REQUIRE(two.has_value());
  CHECK(text(std::span(memory).first(*two)) == "45");
  CHECK(pair.client->finish_sending().has_value());
  const auto end = co_await pair.server->recv(memory);
  REQUIRE(end.has_value());
  CHECK(*end == 0);
}

TEST_CASE("the two ways of receiving may be mixed", "[socket]") {
  auto ring = make_ring();
  ring->run(into_own_memory(*ring));
}

Task<void> reset_in_flight(Ring& ring) {
  Listener listener = make_listener(ring);
  Pair pair;
  co_await make_pair_of(ring, listener, pair);
  std::optional<Result<Buffer>> outcome;
  TaskScope scope;
  auto reader = [](Socket& socket, std::optional<Result<Buffer>>& result) -> Task<void> {
    result.emplace(co_await socket.recv_buffer());
  };
  scope.spawn(reader(*pair.client, outcome));
  pair.client->reset();
  co_await scope.join();
  REQUIRE(!outcome->has_value());
  CHECK(outcome->error().reason == Reason::kCancelled);
  const auto after = co_await pair.client->send_all(bytes("x"));
  CHECK(!after.has_value());

  const auto seen = co_await pair.server->recv_buffer();
  REQUIRE(!seen.has_value());
  CHECK(seen.error().reason == Reason::kPeerReset);
}

TEST_CASE("reset() is seen by the peer at once, with a receive in flight", "[socket]") {
  auto ring = make_ring();
  ring->run(reset_in_flight(*ring));
}

Task<void> close_with_unread(Ring& ring) {
  Listener listener = make_listener(ring);
  Pair pair;
  co_await make_pair_of(ring, listener, pair);
  const auto sent = co_await pair.client->send_all(bytes("nobody reads this"));
  CHECK(sent.has_value());
  {
    const auto first = co_await pair.server->recv_buffer();
    CHECK(first.has_value());
    const auto more = co_await pair.client->send_all(bytes("nor this"));
    CHECK(more.has_value());
    const auto both_leased = [&] { return ring.impl().pool(BufferClass::kRelay).leased() == 2; };
    const bool read_ahead = co_await mesh::test::eventually(ring, both_leased);
    CHECK(read_ahead);
    pair.server.reset();
  }
  const auto seen = co_await pair.client->recv_buffer();
  REQUIRE(!seen.has_value());
  CHECK(seen.error().reason == Reason::kPeerReset);
}

TEST_CASE("closing with bytes unread is a reset, also when they were read ahead", "[socket]") {
  auto ring = make_ring();
  ring->run(close_with_unread(*ring));
}

// The server side goes without a word, or after its last one; the client has sent, and it has read.
Task<void> go_unfinished(Ring& ring, bool finish, std::string& heard) {
  ListenOptions options;
  options.at = loopback();
  options.reset_unless_finished = true;
  auto listener = Listener::listen(ring, options);
  REQUIRE(listener.has_value());
  const std::string words = pattern(100'000);
  Pair pair;
  co_await make_pair_of(ring, *listener, pair);
  const auto asked = co_await pair.client->send_all(bytes("ask"));
  CHECK(asked.has_value());
  const auto got = co_await pair.server->recv_buffer();
  CHECK(got.has_value());
  const auto sent = co_await pair.server->send_all(bytes(words));
  CHECK(sent.has_value());
  if (finish) CHECK(pair.server->finish_sending().has_value());
  pair.server.reset();
  for (;;) {
    const auto more = co_await pair.client->recv_buffer();
    if (!more) {
      CHECK(more.error().reason == Reason::kPeerReset);
      heard = "reset";
      co_return;
    }
    if (more->empty()) break;
    heard += text(more->bytes());
  }
  CHECK(heard == words);
}

TEST_CASE("a socket that goes before it has finished is reset, if that was asked for", "[socket]") {
  const bool finish = GENERATE(true, false);
  auto ring = make_ring();
  std::string heard;
  ring->run(go_unfinished(*ring, finish, heard));
  CHECK((heard == "reset") == !finish);
}

Task<void> send_what_it_takes(Socket& to, std::string_view payload) {
  (void)co_await to.send_all(bytes(payload));  // cut off by the reset
}

// What waits read ahead for a bulk reader that stops with some buffers in hand.
Task<void> stop_in_bulk(Ring& ring, std::size_t in_hand, std::size_t& read_ahead) {
  Listener listener = make_listener(ring);
  Pair pair;
  co_await make_pair_of(ring, listener, pair);
  const std::string payload(32 * 1024 * 1024, 'x');  // more than the kernel takes
  const unsigned before = ring.in_flight();
  TaskScope sending;
  sending.spawn(send_what_it_takes(*pair.client, payload));
  std::vector<Buffer> held(in_hand);
  for (std::size_t i = 0; i < 64 + in_hand; ++i) {
    auto buffer = co_await pair.server->recv_buffer();
    REQUIRE(buffer.has_value());
    if (i >= 64) held[i - 64] = *std::move(buffer);
  }
  // No receive is armed any more, only the send is under way.
  const auto is_still = [&] { return ring.in_flight() == before + 1; };
  const bool stopped = co_await mesh::test::eventually(ring, is_still);
  CHECK(stopped);
  while (const auto more = pair.server->take_ready()) read_ahead += more->size();
  pair.server->reset();
  pair.client->reset();
  co_await sending.join();
}

// Linux 6.10, and the simulator.
bool one_receive_fills_several_buffers() {
  return std::ranges::none_of(features(), [](const Feature& feature) {
    return feature.name == "recv-bundle" && !feature.used;
  });
}

TEST_CASE("bulk is read ahead by little, and by less when few buffers are left", "[socket]") {
  const std::size_t least = one_receive_fills_several_buffers() ? 4 * kRelayBytes : 0;
  RingOptions few;
  few.relay_buffers_max = 64;
  for (const bool roomy : {true, false}) {
    auto ring = make_ring(roomy ? RingOptions{} : few);
    std::size_t read_ahead = 0;
    ring->run(stop_in_bulk(*ring, 40, read_ahead));
    CHECK(read_ahead > (roomy ? least : 0));
    CHECK(read_ahead <= (roomy ? 60 : 4) * kRelayBytes);
  }
}

Task<void> refused(Ring& ring) {
  net::SocketAddress nobody;
  {
    Listener listener = make_listener(ring);
    nobody = listener.local_address();
  }
  ConnectOptions options;
  options.to = nobody;
  const auto socket = co_await connect(ring, options);
  REQUIRE(!socket.has_value());
  CHECK(socket.error().reason == Reason::kRefused);
}

TEST_CASE("connecting where nobody listens is refused", "[socket]") {
  auto ring = make_ring();
  ring->run(refused(*ring));
  CHECK(ring->in_flight() == 0);
}

Task<void> hang_up(Ring& ring) {
  Listener listener = make_listener(ring);
  Pair pair;
  co_await make_pair_of(ring, listener, pair);

  // A request and a half-close is no hang-up.
  const auto sent = co_await pair.client->send_all(bytes("request"));
  CHECK(sent.has_value());
  CHECK(pair.client->finish_sending().has_value());
  const auto waited = co_await with_deadline(ring, 5ms, "hang-up", pair.server->wait_hang_up());
  REQUIRE(!waited.has_value());
  CHECK(waited.error().reason == Reason::kTimedOut);

  pair.client->reset();
  const auto seen = co_await with_deadline(ring, 1s, "hang-up", pair.server->wait_hang_up());
  CHECK(seen.has_value());

  Pair other;
  co_await make_pair_of(ring, listener, other);
  other.client.reset();
  // An end of stream alone is none either: who closed and who half-closed look the same.
  const auto closed = co_await with_deadline(ring, 5ms, "hang-up", other.server->wait_hang_up());
  REQUIRE(!closed.has_value());
  CHECK(closed.error().reason == Reason::kTimedOut);
}

TEST_CASE("wait_hang_up() tells a hang-up from a half-close", "[socket]") {
  auto ring = make_ring();
  ring->run(hang_up(*ring));
  CHECK(ring->in_flight() == 0);
}

Task<Result<Done>> read_slowly(Ring& ring, Socket& socket, std::size_t& total) {
  for (;;) {
    CO_TRY(const Buffer buffer, co_await socket.recv_buffer());
    if (buffer.empty()) co_return Done{};
    total += buffer.size();
    co_await yield(ring);
  }
}

Task<void> many_share_few(Ring& ring) {
  Listener listener = make_listener(ring);
  std::array<Pair, 20> pairs;
  for (Pair& pair : pairs) co_await make_pair_of(ring, listener, pair);
  const std::string data = pattern(300'000);
  std::array<std::size_t, 20> totals{};
  TaskScope scope;
  auto run_one = [](Ring& r, Pair& pair, std::string_view sent, std::size_t& total) -> Task<void> {
    auto ends =
        co_await both(send_and_finish(*pair.client, sent), read_slowly(r, *pair.server, total));
    CHECK(ends.first.has_value());
    CHECK(ends.second.has_value());
  };
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    scope.spawn(run_one(ring, pairs[i], data, totals[i]));
  }
  co_await scope.join();
  for (const std::size_t total : totals) CHECK(total == data.size());
}

TEST_CASE("twenty busy connections share eight buffers by waiting for them", "[socket]") {
  auto ring = make_ring({.relay_buffers = 8, .relay_buffers_max = 8});
  ring->run(many_share_few(*ring));
  CHECK(ring->in_flight() == 0);
}

Task<void> idle_pair(Ring& ring, Pair& pair) {
  Listener listener = make_listener(ring);
  co_await make_pair_of(ring, listener, pair);
  const auto nothing = co_await with_deadline(ring, 1ms, "read", pair.server->recv_buffer());
  CHECK(!nothing.has_value());
}

TEST_CASE("a socket may outlive the run that made it, with a receive armed", "[socket]") {
  auto ring = make_ring();
  Pair pair;
  ring->run(idle_pair(*ring, pair));
  CHECK(ring->in_flight() == 1);
}

Task<void> one_exchange(Ring& ring, std::size_t& largest) {
  Listener listener = make_listener(ring);
  Pair pair;
  co_await make_pair_of(ring, listener, pair);
  internal::largest_frame_bytes = 0;
  const auto sent = co_await pair.client->send_all(bytes("x"));
  CHECK(sent.has_value());
  const auto got = co_await pair.server->recv_buffer();
  CHECK(got.has_value());
  largest = internal::largest_frame_bytes;
}

TEST_CASE("sending and receiving stay within a frame of 512 bytes", "[budget]") {
  auto ring = make_ring();
  std::size_t largest = 0;
  ring->run(one_exchange(*ring, largest));
  INFO("largest frame: " << largest);
  CHECK(largest > 0);
  CHECK(largest <= 512);
}

}  // namespace
}  // namespace mesh::io
