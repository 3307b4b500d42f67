// The parts of the simulated world that whole-mesh scenarios rest on: processes that die, workers,
// a tap on the wire.

#include <catch2/generators/catch_generators.hpp>

#include "mesh/io/sim.h"
#include "mesh/io/socket.h"
#include "mesh/io/test_bench.h"
#include "mesh/io/worker.h"

namespace mesh::io::sim {
namespace {

using namespace std::chrono_literals;
using test::bytes;
using test::text;

net::IpAddress ip(std::string_view text) { return *net::IpAddress::parse(text); }
net::SocketAddress at(std::string_view text) { return *net::SocketAddress::parse(text); }

Task<void> connect_to(Ring& ring, net::SocketAddress to, std::optional<Result<Done>>& outcome) {
  ConnectOptions options;
  options.to = to;
  const auto socket = co_await connect(ring, options);
  outcome = socket ? Result<Done>(Done{}) : std::unexpected(socket.error());
}

Task<void> listen_once(Ring& ring) {
  ListenOptions options;
  options.at = at("10.0.0.2:80");
  auto listener = Listener::listen(ring, options);
  REQUIRE(listener.has_value());
  auto socket = co_await listener->accept();
  REQUIRE(socket.has_value());
  const auto end = co_await socket->recv_buffer();
  CHECK(end.has_value());
}

Task<void> say_hello(Ring& ring) {
  ConnectOptions options;
  options.to = at("10.0.0.2:80");
  auto socket = co_await connect(ring, options);
  REQUIRE(socket.has_value());
  const auto sent = co_await socket->send_all(bytes("hello"));
  CHECK(sent.has_value());
}

Task<void> start_worker(std::unique_ptr<Worker>& worker, net::SocketAddress& own) {
  auto started = Worker::start("worker", {}, [&own](Ring& ring) -> Task<void> {
    ListenOptions options;
    options.at = at("10.0.0.2:80");  // an address of one host only
    auto listener = Listener::listen(ring, options);
    REQUIRE(listener.has_value());
    own = listener->local_address();
    co_return;
  });
  REQUIRE(started.has_value());
  worker = *std::move(started);
  co_return;
}

TEST_CASE("a worker lives on the host of the ring that starts it, from the first turn on",
          "[sim]") {
  World world({.seed = 3});
  world.add_host("first", {ip("10.0.0.1")});
  Host& second = world.add_host("second", {ip("10.0.0.2")});
  auto ring = second.make_ring();
  std::unique_ptr<Worker> worker;
  net::SocketAddress own;
  world.start(**ring, start_worker(worker, own));
  world.run_for(1s);
  CHECK(own == at("10.0.0.2:80"));
}

Task<void> accept_and_wait(Ring& ring) {
  ListenOptions options;
  options.at = at("10.0.0.2:80");
  auto listener = Listener::listen(ring, options);
  REQUIRE(listener.has_value());
  auto socket = co_await listener->accept();
  REQUIRE(socket.has_value());
  std::array<std::byte, 4> memory;
  const auto got = co_await socket->recv(memory);
  REQUIRE(got.has_value());
  const auto hung_up = co_await socket->wait_hang_up();
  CHECK(hung_up.has_value());
  FAIL("a dead process goes on");
}

struct Survivor {
  std::optional<Reason> ended;
  bool clean = false;
};

Task<void> talk_to_the_doomed(Ring& ring, std::string_view words, Survivor& survivor) {
  ConnectOptions options;
  options.to = at("10.0.0.2:80");
  auto socket = co_await connect(ring, options);
  REQUIRE(socket.has_value());
  const auto sent = co_await socket->send_all(bytes(words));
  REQUIRE(sent.has_value());
  const auto end = co_await socket->recv_buffer();
  survivor.clean = end && end->empty();
  if (!end) survivor.ended = end.error().reason;
}

TEST_CASE("a killed process leaves what its kernel does: an end, or a reset when not all was read",
          "[sim]") {
  const bool all_read = GENERATE(true, false);
  World world({.seed = 3});
  Host& client = world.add_host("client", {ip("10.0.0.1")});
  Host& doomed = world.add_host("doomed", {ip("10.0.0.2")});
  auto client_ring = client.make_ring();
  // A dead process's memory: nobody destroys it, not even exit().
  static auto& graveyard = *new std::vector<std::unique_ptr<Ring>>;
  graveyard.push_back(*doomed.make_ring());
  Survivor survivor;
  std::optional<Result<Done>> refused;
  world.start(*graveyard.back(), accept_and_wait(*graveyard.back()));
  world.start(**client_ring,
              talk_to_the_doomed(**client_ring, all_read ? "four" : "and more", survivor));
  world.run_for(1s);
  CHECK(!survivor.clean);
  doomed.kill();
  CHECK(world.run_until_idle(60s));
  CHECK(survivor.clean == all_read);
  CHECK(survivor.ended == (all_read ? std::nullopt : std::optional(Reason::kPeerReset)));
  CHECK(world.open_sockets() == 0);
  world.start(**client_ring, connect_to(**client_ring, at("10.0.0.2:80"), refused));
  CHECK(world.run_until_idle(60s));
  REQUIRE(refused.has_value());
  CHECK(refused->error().reason == Reason::kRefused);
  graveyard.back()->post([] { FAIL("a dead process runs"); });
  CHECK(world.run_until_idle(60s));
}

Task<void> accept_wary(Ring& ring, bool finish) {
  ListenOptions options;
  options.at = at("10.0.0.2:80");
  options.reset_unless_finished = true;
  auto listener = Listener::listen(ring, options);
  REQUIRE(listener.has_value());
  auto socket = co_await listener->accept();
  REQUIRE(socket.has_value());
  std::array<std::byte, 4> memory;
  const auto got = co_await socket->recv(memory);
  REQUIRE(got.has_value());
  if (finish) CHECK(socket->finish_sending().has_value());
  (void)co_await socket->wait_hang_up();
  if (!finish) FAIL("a dead process goes on");
}

TEST_CASE("a killed process resets what it has not finished, and nothing else", "[sim]") {
  const bool finished = GENERATE(true, false);
  World world({.seed = 3});
  Host& client = world.add_host("client", {ip("10.0.0.1")});
  Host& doomed = world.add_host("doomed", {ip("10.0.0.2")});
  auto client_ring = client.make_ring();
  static auto& graveyard = *new std::vector<std::unique_ptr<Ring>>;
  graveyard.push_back(*doomed.make_ring());
  Survivor survivor;
  world.start(*graveyard.back(), accept_wary(*graveyard.back(), finished));
  world.start(**client_ring, talk_to_the_doomed(**client_ring, "four", survivor));
  world.run_for(1s);
  doomed.kill();
  CHECK(world.run_until_idle(60s));
  CHECK(survivor.clean == finished);
}

TEST_CASE("a tap sees what crosses between hosts", "[sim]") {
  World world({.seed = 3});
  Host& client = world.add_host("client", {ip("10.0.0.1")});
  Host& server = world.add_host("server", {ip("10.0.0.2")});
  auto client_ring = client.make_ring();
  auto server_ring = server.make_ring();
  std::string seen;
  world.set_tap(
      [&](const Host& from, const Host& to, std::uint64_t place, std::span<const std::byte> what) {
        seen += from.name() + ">" + to.name() + "@" + std::to_string(place) + ":" + text(what);
      });
  world.start(**server_ring, listen_once(**server_ring));
  world.start(**client_ring, say_hello(**client_ring));
  CHECK(world.run_until_idle(60s));
  CHECK(seen == "client>server@0:hello");
}

}  // namespace
}  // namespace mesh::io::sim
