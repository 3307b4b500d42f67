// What one peer may take, and that others are not touched by it.

#include "mesh/hbone/peer_quotas.h"

#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include "mesh/hbone/test_world.h"

namespace mesh::hbone::test {
namespace {

using namespace std::chrono_literals;

net::IpAddress ip(const char* text) { return net::IpAddress::parse(text).value(); }

TEST_CASE("handshakes: so many of one address, so many in all, until they are over") {
  PeerQuotas quotas({.handshakes = 3, .handshakes_of_address = 2}, nullptr);
  std::vector<PeerQuotas::Handshake> open;
  for (int i = 0; i < 2; ++i) {
    auto one = quotas.begin_handshake(ip("10.0.0.1"));
    REQUIRE(one);
    open.push_back(*std::move(one));
  }
  CHECK_FALSE(quotas.begin_handshake(ip("10.0.0.1")));
  auto other = quotas.begin_handshake(ip("10.0.0.2"));
  REQUIRE(other);
  CHECK_FALSE(quotas.begin_handshake(ip("10.0.0.3")));
  CHECK(quotas.handshakes() == 3);
  open.pop_back();
  CHECK(quotas.begin_handshake(ip("10.0.0.1")));
  other->end();
  other->end();
  CHECK(quotas.handshakes() == 1);
}

// Connects and says nothing, until `quit`.
io::Task<void> be_silent(World& world, io::Event& quit, std::size_t& reset) {
  io::ConnectOptions options;
  options.to = world.listener->local_address();
  auto socket = co_await io::connect(*world.ring, options);
  if (!socket) co_return;
  auto ended = co_await io::first_of(socket->recv_buffer(), quit.wait());
  if (ended.winner == io::Winner::kFirst && !ended.first) ++reset;
}

io::Task<void> crowd(World& world) {
  io::Event quit(*world.ring);
  io::TaskScope strangers;
  std::size_t reset = 0;
  for (int i = 0; i < 5; ++i) strangers.spawn(be_silent(world, quit, reset));
  while (reset < 2) co_await pass(world, 1ms);
  CHECK(world.served.size() == 2);
  for (const auto& one : world.served) CHECK(one.error().reason == Reason::kExhausted);
  auto refused = co_await world.pool->open(world.request());
  CHECK_FALSE(refused.has_value());
  // Their deadline makes room.
  co_await pass(world, 11s);
  auto opened = co_await world.pool->open(world.request());
  REQUIRE(opened.has_value());
  CHECK(opened->status == 200);
  quit.set();
  co_await strangers.join();
}

TEST_CASE("limit: handshakes that are not over, from accept on; a deadline ends each", "[time]") {
  World world;
  world.server_options.limits.handshakes = 3;
  world.handler.serve = echo;
  world.start();
  world.run(crowd(world));
}

io::Task<void> two_tunnels(World& world) {
  auto first = co_await world.pool->open(world.request());
  REQUIRE(first.has_value());
  auto second = co_await world.pool->open(world.request());
  CHECK_FALSE(second.has_value());
  // The first one is not touched.
  const auto sent = co_await first->stream->send_all(bytes("still"));
  CHECK(sent.has_value());
  (void)first->stream->finish_sending();
  const std::string heard = co_await read_to_end(*first->stream);
  CHECK(heard == "still");
}

TEST_CASE("limit: tunnels of one identity") {
  World world;
  world.pool_options.streams_per_tunnel = 1;
  world.server_options.limits.tunnels_of_peer = 1;
  world.handler.serve = echo;
  world.start();
  world.run(two_tunnels(world));
  REQUIRE(world.served.size() == 2);
  CHECK(world.served[0].error().reason == Reason::kExhausted);
  CHECK(world.served[1].has_value());
}

io::Task<void> two_streams(World& world) {
  auto first = co_await world.pool->open(world.request());
  REQUIRE(first.has_value());
  auto second = co_await world.pool->open(world.request());
  REQUIRE(second.has_value());
  CHECK(second->status == 503);
  CHECK(world.handler.refused == std::vector<Reason>{Reason::kExhausted});
  (void)first->stream->finish_sending();
  const std::string heard = co_await read_to_end(*first->stream);
  CHECK(heard.empty());
  // When it is over, there is room.
  auto third = co_await world.pool->open(world.request());
  REQUIRE(third.has_value());
  CHECK(third->status == 200);
}

TEST_CASE("limit: streams of one identity, over all its tunnels") {
  World world;
  world.server_options.limits.streams_of_peer = 1;
  world.pool_options.streams_per_tunnel = GENERATE(1U, 100U);
  world.handler.serve = echo;
  world.start();
  world.run(two_streams(world));
}

// Accepts, and reads when it is told to.
struct Lazy {
  explicit Lazy(io::Ring& ring) : read(ring) {}
  io::Event read;
  io::Task<void> serve(IncomingConnect connect) {
    auto stream = connect.accept();
    if (!stream) co_return;
    (void)co_await read.wait();
    (void)co_await read_to_end(*stream);
    (void)stream->finish_sending();
  }
};

io::Task<void> pour(Stream& stream) {
  const auto sent = co_await stream.send_all(bytes(std::string(700'000, 'x')));
  CHECK(sent.has_value());
  (void)stream.finish_sending();
}

io::Task<void> fill(World& world, Lazy& lazy) {
  auto first = co_await world.pool->open(world.request());
  REQUIRE(first.has_value());
  // More than waits unsent (Ring::bulk_share()): some of it is over there before the next CONNECT.
  io::TaskScope pouring;
  pouring.spawn(pour(*first->stream));
  co_await io::yield(*world.ring);
  auto second = co_await world.pool->open(world.request());
  REQUIRE(second.has_value());
  CHECK(second->status == 503);
  lazy.read.set();
  (void)co_await read_to_end(*first->stream);
  co_await pouring.join();
  auto third = co_await world.pool->open(world.request());
  REQUIRE(third.has_value());
  CHECK(third->status == 200);
}

TEST_CASE("limit: unread bytes of one identity: over it nothing more is opened") {
  World world;
  Lazy lazy(*world.ring);
  world.server_options.limits.unread_of_peer = 100'000;
  world.handler.serve = [&](IncomingConnect connect) { return lazy.serve(std::move(connect)); };
  world.start();
  world.run(fill(world, lazy));
}

}  // namespace
}  // namespace mesh::hbone::test
