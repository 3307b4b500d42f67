#include "mesh/hbone/tunnel_pool.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>

#include "mesh/hbone/test_world.h"

namespace mesh::hbone::test {
namespace {

using namespace std::chrono_literals;

struct Opened {
  std::vector<OpenOutcome> streams;
  std::vector<Error> errors;
};

io::Task<void> open_into(World& world, OpenRequest request, Opened& opened) {
  auto outcome = co_await world.pool->open(std::move(request));
  if (outcome) {
    opened.streams.push_back(*std::move(outcome));
  } else {
    opened.errors.push_back(outcome.error());
  }
}

io::Task<void> open_many(World& world, std::size_t count, Opened& opened) {
  io::TaskScope scope;
  for (std::size_t i = 0; i < count; ++i) scope.spawn(open_into(world, world.request(), opened));
  co_await scope.join();
}

io::Task<void> burst(World& world) {
  Opened opened;
  co_await open_many(world, 250, opened);
  CHECK(opened.streams.size() == 250);
  CHECK(world.accepted == 3);
  CHECK(world.pool->counts().streams == 250);
}

TEST_CASE("a burst of connections makes one handshake for each hundred of them") {
  World world;
  world.handler.serve = echo;
  world.start();
  world.run(burst(world));
}

io::Task<void> two_each(World& world) {
  Opened opened;
  co_await open_many(world, 5, opened);
  CHECK(opened.streams.size() == 5);
  CHECK(world.accepted == 3);
}

TEST_CASE("a tunnel takes as many streams as it may, then another is made") {
  World world;
  world.handler.serve = echo;
  world.pool_options.streams_per_tunnel = 2;
  world.start();
  world.run(two_each(world));
}

io::Task<void> two_pods(World& world) {
  Opened opened;
  co_await open_into(world, world.request(), opened);
  co_await open_into(world, world.request(), opened);
  CHECK(world.accepted == 1);
  OpenRequest sibling = world.request();
  sibling.key.source_uid = "web-2";
  co_await open_into(world, std::move(sibling), opened);
  CHECK(world.accepted == 2);
  OpenRequest successor = world.request();
  successor.key.destination_uid = "cart-2";
  co_await open_into(world, std::move(successor), opened);
  CHECK(world.accepted == 3);
  CHECK(opened.streams.size() == 4);
}

TEST_CASE("two pods of one service account never share a tunnel, nor do two owners of an address") {
  World world;
  world.handler.serve = echo;
  world.start();
  world.run(two_pods(world));
}

io::Task<void> purge(World& world) {
  Opened opened;
  co_await open_into(world, world.request(), opened);
  world.pool->purge_destination("cart-1");
  co_await open_into(world, world.request(), opened);
  CHECK(world.accepted == 2);
  // The stream on the purged tunnel lives on until it ends; the tunnel goes with it.
  Stream& old = *opened.streams[0].stream;
  (void)co_await old.send_all(bytes("x"));
  CHECK(old.finish_sending().has_value());
  const std::string heard = co_await read_to_end(old);
  CHECK(heard == "x");
  co_await pass(world, 50ms);
  CHECK(world.pool->counts().tunnels == 1);
  world.pool->end_source("web-1");
  const std::string end = co_await read_to_end(*opened.streams[1].stream);
  CHECK(end == "!draining");
}

TEST_CASE("a purged tunnel takes no new stream; an ended source takes its streams along",
          "[time]") {
  World world;
  world.handler.serve = echo;
  world.start();
  world.run(purge(world));
}

io::Task<void> beyond_limits(World& world) {
  Opened opened;
  co_await open_many(world, 5, opened);
  CHECK(opened.streams.empty());
  REQUIRE(opened.errors.size() == 5);
  const auto exhausted = std::ranges::count(opened.errors, Reason::kExhausted, &Error::reason);
  CHECK(exhausted == 2);  // three wait for a handshake that never comes
}

TEST_CASE("a pool makes no more tunnels than it may, and lets no more wait", "[time]") {
  World world;
  world.handler.serve = echo;
  world.pool_options.tunnels_max = 1;
  world.start();
  world.run([](World& w) -> io::Task<void> {
    Opened opened;
    co_await open_into(w, w.request(), opened);
    OpenRequest other = w.request();
    other.key.source_uid = "web-2";
    co_await open_into(w, std::move(other), opened);
    REQUIRE(opened.errors.size() == 1);
    CHECK(opened.errors[0].reason == Reason::kExhausted);
  }(world));

  World slow;
  slow.start();
  slow.pool_options.waiters_per_key_max = 3;
  slow.pool_options.handshake_deadline = 100ms;
  slow.pool = std::make_unique<TunnelPool>(*slow.ring, slow.pool_options);
  slow.ring->run([](World& w) -> io::Task<void> {
    co_await beyond_limits(w);
    co_await w.pool->close(0ms);
  }(slow));
}

io::Task<void> idle_release(World& world) {
  Opened opened;
  co_await open_into(world, world.request(), opened);
  opened.streams.clear();
  CHECK(world.pool->counts().tunnels == 1);
  co_await pass(world, 150ms);
  CHECK(world.pool->counts().tunnels == 0);
}

TEST_CASE("an idle tunnel is released", "[time]") {
  World world;
  world.handler.serve = echo;
  world.pool_options.idle_release = 50ms;
  world.start();
  world.run(idle_release(world));
  REQUIRE(world.served.size() == 1);
  CHECK(world.served[0].has_value());
}

io::Task<void> queue_on_one(World& world) {
  io::TaskScope scope;
  Opened opened;
  for (int i = 0; i < 3; ++i) scope.spawn(open_into(world, world.request(), opened));
  co_await pass(world, 100ms);
  CHECK(opened.streams.size() == 1);
  opened.streams.clear();
  co_await pass(world, 50ms);
  CHECK(opened.streams.size() == 1);
  opened.streams.clear();
  co_await scope.join();
  CHECK(opened.streams.size() == 1);
  CHECK(world.accepted == 1);
}

TEST_CASE("a peer that allows one stream gets one connection, and the others wait for it",
          "[time]") {
  World world;
  world.handler.serve = echo;
  world.server_options.h2.max_concurrent_streams = 1;
  world.start();
  world.run(queue_on_one(world));
}

io::Task<void> nobody_listens(World& world) {
  Opened opened;
  OpenRequest request = world.request();
  request.key.address.port = 1;
  co_await open_into(world, std::move(request), opened);
  REQUIRE(opened.errors.size() == 1);
  CHECK(opened.errors[0].reason == Reason::kRefused);
}

TEST_CASE("a refused connect reaches everyone who waited for it") {
  World world;
  world.start();
  world.run(nobody_listens(world));
}

// A path that a test can cut: bytes stop, nobody is told.
struct CutPath {
  World& world;
  std::optional<io::Listener> door;
  bool cut = false;
  std::size_t accepted = 0;

  io::Task<void> copy(io::Socket& from, io::Socket& to) {
    for (;;) {
      auto got = co_await from.recv_buffer(io::BufferClass::kWire);
      if (!got || got->empty()) co_return;
      if (cut) continue;
      const auto sent = co_await to.send_all(got->bytes());
      if (!sent) co_return;
    }
  }
  io::Task<void> carry(io::Socket from) {
    io::ConnectOptions options;
    options.to = world.listener->local_address();
    auto to = co_await io::connect(*world.ring, options);
    REQUIRE(to.has_value());
    io::TaskScope scope(co_await io::current_cancel());
    scope.spawn(copy(from, *to));
    scope.spawn(copy(*to, from));
    co_await scope.join();
  }
  io::Task<void> run(io::TaskScope& scope) {
    for (;;) {
      auto socket = co_await door->accept();
      if (!socket) co_return;
      ++accepted;
      scope.spawn(carry(*std::move(socket)));
    }
  }
};

io::Task<void> dead_tunnel(World& world) {
  CutPath path{.world = world, .door = io::test::make_listener(*world.ring)};
  io::TaskScope scope;
  scope.spawn(path.run(scope));
  Opened opened;
  OpenRequest request = world.request();
  request.key.address = path.door->local_address();
  co_await open_into(world, request, opened);
  path.cut = true;
  co_await pass(world, 100ms);
  CHECK(path.accepted == 1);
  const io::TimePoint before = world.ring->now();
  path.door->close();
  path.door.emplace(io::test::make_listener(*world.ring));
  co_await open_into(world, request, opened);  // the old door is closed: found dead, dialled anew
  CHECK(world.ring->now() - before < 1s);
  REQUIRE(opened.errors.size() == 1);
  CHECK(opened.errors[0].reason == Reason::kRefused);
  CHECK(world.pool->counts().dead == 1);
  const std::string end = co_await read_to_end(*opened.streams[0].stream);
  CHECK(end == "!timed_out");
  scope.cancel();
  co_await scope.join();
}

TEST_CASE("do better 6: a dead pooled tunnel is found by PING before it is used again", "[time]") {
  World world;
  world.handler.serve = echo;
  world.pool_options.probe_after = 50ms;
  world.pool_options.probe_deadline = 100ms;
  world.start();
  world.run(dead_tunnel(world));
}

io::Task<void> cancelled_dial(World& world) {
  io::TaskScope scope;
  Opened opened;
  scope.spawn(open_into(world, world.request(), opened));
  co_await pass(world, 50ms);
  CHECK(world.pool->counts().tunnels == 1);
  scope.cancel();
  co_await scope.join();
  REQUIRE(opened.errors.size() == 1);
  CHECK(opened.errors[0].reason == Reason::kCancelled);
  co_await pass(world, 20ms);
  CHECK(world.pool->counts().tunnels == 0);
  co_await world.pool->close(0ms);
}

TEST_CASE("do better 6: when the last one waiting has left, the pending handshake goes too",
          "[time]") {
  World world;
  world.start();
  world.ring->run(cancelled_dial(world));  // nobody accepts
}

}  // namespace
}  // namespace mesh::hbone::test
