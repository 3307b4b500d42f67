// Peers that give up at any moment, in any way: nothing may hang, leak or be taken for a clean end.

#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>

#include "mesh/io/both.h"
#include "mesh/io/sim.h"
#include "mesh/io/socket.h"
#include "mesh/io/test_bench.h"
#include "mesh/io/timer.h"

namespace mesh::io::sim {
namespace {

using namespace std::chrono_literals;

net::IpAddress ip(std::string_view text) { return *net::IpAddress::parse(text); }

struct Tally {
  int clients = 0;
  int servers = 0;
  int clean_ends = 0;
  int wrong_ends = 0;
};

// The first eight bytes say how long the stream is: an end before that must be an error.
Task<Result<Done>> send_announced(Ring& ring, Socket& socket, std::uint64_t size) {
  std::array<std::byte, sizeof size> header;
  std::memcpy(header.data(), &size, sizeof size);
  CO_TRY_DO(co_await socket.send_all(header));
  std::vector<std::byte> block(20'000);
  while (size > 0) {
    const auto length = std::min<std::uint64_t>(size, 1 + ring.random() % block.size());
    CO_TRY_DO(co_await socket.send_all(std::span(block).first(length)));
    size -= length;
  }
  co_return socket.finish_sending();
}

Task<Result<Done>> receive_announced(Socket& socket, Tally& tally) {
  std::array<std::byte, 8> header;
  std::uint64_t got = 0;
  for (;;) {
    CO_TRY(const Buffer buffer, co_await socket.recv_buffer());
    if (buffer.empty()) break;
    for (std::size_t i = 0; i < buffer.size() && got + i < header.size(); ++i) {
      header[got + i] = buffer.bytes()[i];
    }
    got += buffer.size();
  }
  std::uint64_t announced = 0;
  std::memcpy(&announced, header.data(), sizeof announced);
  const bool whole = got >= header.size() && got == announced + header.size();
  whole ? ++tally.clean_ends : ++tally.wrong_ends;
  co_return Done{};
}

Task<Result<Done>> exchange(Ring& ring, Socket& socket, Tally& tally) {
  const auto ends = co_await both(send_announced(ring, socket, ring.random() % 300'000),
                                  receive_announced(socket, tally));
  if (!ends.first || !ends.second) socket.reset();  // never a clean end after a broken one
  co_return Done{};
}

// Until it is done or has had enough; then it resets, or waits for what the other does.
Task<void> impatient(Ring& ring, Socket socket, Tally& tally, int& count) {
  ++count;
  const Duration patience = Duration(static_cast<std::int64_t>(ring.random() % 8'000'000));
  const auto done =
      co_await with_deadline(ring, patience, "exchange", exchange(ring, socket, tally));
  if (done && ring.random() % 2 == 0) {
    [[maybe_unused]] const auto gone =
        co_await with_deadline(ring, 1ms, "hang-up", socket.wait_hang_up());
  }
  if (ring.random() % 2 == 0) socket.reset();
  // A broken exchange has reset the socket itself.
}

Task<void> serve(Ring& ring, Tally& tally) {
  ListenOptions options;
  options.at = {net::IpAddress(), 80};
  options.backlog = 4;
  auto listener = Listener::listen(ring, options);
  REQUIRE(listener.has_value());
  TaskScope scope;
  for (;;) {
    auto socket = co_await with_deadline(ring, 3s, "accept", listener->accept());
    if (socket) {
      scope.spawn(impatient(ring, *std::move(socket), tally, tally.servers));
    } else if (socket.error().reason != Reason::kExhausted) {
      break;
    }
  }
  co_await scope.join();
}

Task<void> call(Ring& ring, Tally& tally) {
  [[maybe_unused]] const auto later =
      co_await sleep_for(ring, Duration(static_cast<std::int64_t>(ring.random() % 20'000'000)));
  ConnectOptions options;
  options.to = {ip("10.0.0.2"), 80};
  options.deadline = Duration(static_cast<std::int64_t>(ring.random() % 3'000'000));
  auto socket = co_await connect(ring, options);
  if (socket) co_await impatient(ring, *std::move(socket), tally, tally.clients);
}

Task<void> call_all(Ring& ring, Tally& tally) {
  TaskScope scope;
  for (int i = 0; i < 60; ++i) scope.spawn(call(ring, tally));
  if (ring.random() % 4 == 0) {
    [[maybe_unused]] const auto waited = co_await sleep_for(ring, 8ms);
    scope.cancel();
  }
  co_await scope.join();
}

TEST_CASE("peers that give up at any moment leave nothing behind", "[sim]") {
  const std::uint64_t seed = GENERATE(range(1, 101));
  INFO("seed " << seed);
  World world({.seed = seed, .faults = Faults::swarm(seed)});
  Host& client = world.add_host("client", {ip("10.0.0.1")});
  Host& server = world.add_host("server", {ip("10.0.0.2")});
  const Link link{.delay = 100us, .jitter = 200us, .bytes_per_second = 200'000'000};
  world.set_link(client, server, link);
  auto client_ring = client.make_ring({.relay_buffers = 8, .relay_buffers_max = 16});
  auto server_ring = server.make_ring({.relay_buffers = 8, .relay_buffers_max = 16});
  Tally tally;
  world.start(**server_ring, serve(**server_ring, tally));
  world.start(**client_ring, call_all(**client_ring, tally));
  CHECK(world.run_until_idle(60s));
  CHECK(tally.clients > 0);
  CHECK(tally.servers > 0);
  CHECK(tally.wrong_ends == 0);
  CHECK((*client_ring)->in_flight() == 0);
  CHECK((*server_ring)->in_flight() == 0);
  CHECK(world.open_sockets() == 0);
}

}  // namespace
}  // namespace mesh::io::sim
