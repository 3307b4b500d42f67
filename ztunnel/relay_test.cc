#include "ztunnel/relay.h"

#include <catch2/catch_test_macros.hpp>

#include "mesh/io/task_scope.h"
#include "mesh/io/test_bench.h"

namespace mesh::ztunnel {
namespace {

using io::Task;

// application = far_client | client -- relay -- server | far_server = peer
struct Bench {
  std::unique_ptr<io::Ring> ring = io::test::make_ring();
  io::test::Pair front, back;
  std::optional<Result<Done>> outcome;
  std::size_t request = 0, response = 0;

  io::Socket& far_client() { return *front.client; }
  io::Socket& far_server() { return *back.server; }
};

Task<void> connect_both(Bench& bench) {
  io::Listener listener = io::test::make_listener(*bench.ring);
  co_await io::test::make_pair_of(*bench.ring, listener, bench.front);
  co_await io::test::make_pair_of(*bench.ring, listener, bench.back);
}

Task<void> run_relay(Bench& bench) {
  auto request = [&bench](std::size_t bytes) { bench.request += bytes; };
  auto response = [&bench](std::size_t bytes) { bench.response += bytes; };
  bench.outcome = co_await relay(*bench.front.server, *bench.back.client, request, response);
}

Task<void> say(io::Socket& socket, std::string_view text) {
  const auto sent = co_await socket.send_all(io::test::bytes(text));
  CHECK(sent.has_value());
}

Task<void> client_finishes_first(Bench& bench) {
  co_await connect_both(bench);
  io::TaskScope scope;
  scope.spawn(run_relay(bench));
  co_await say(bench.far_client(), "ping");
  CHECK(bench.far_client().finish_sending().has_value());
  const std::string heard = co_await io::test::read_to_end(bench.far_server());
  CHECK(heard == "ping");
  co_await say(bench.far_server(), "pong, although you hung up");
  CHECK(bench.far_server().finish_sending().has_value());
  const std::string answer = co_await io::test::read_to_end(bench.far_client());
  CHECK(answer == "pong, although you hung up");
  co_await scope.join();
}

TEST_CASE("a client that finishes sending still receives the whole answer") {
  Bench bench;
  bench.ring->run(client_finishes_first(bench));
  REQUIRE(bench.outcome.has_value());
  CHECK(bench.outcome->has_value());
  CHECK(bench.request == 4);
  CHECK(bench.response == 26);
}

Task<void> server_finishes_first(Bench& bench) {
  co_await connect_both(bench);
  io::TaskScope scope;
  scope.spawn(run_relay(bench));
  co_await say(bench.far_server(), "hello, and that was all");
  CHECK(bench.far_server().finish_sending().has_value());
  const std::string heard = co_await io::test::read_to_end(bench.far_client());
  CHECK(heard == "hello, and that was all");
  co_await say(bench.far_client(), "thank you");
  CHECK(bench.far_client().finish_sending().has_value());
  const std::string answer = co_await io::test::read_to_end(bench.far_server());
  CHECK(answer == "thank you");
  co_await scope.join();
}

TEST_CASE("a server that finishes sending still hears the client") {
  Bench bench;
  bench.ring->run(server_finishes_first(bench));
  REQUIRE(bench.outcome.has_value());
  CHECK(bench.outcome->has_value());
}

Task<void> client_resets(Bench& bench) {
  co_await connect_both(bench);
  io::TaskScope scope;
  scope.spawn(run_relay(bench));
  co_await say(bench.far_client(), "half a sen");
  const auto first = co_await bench.far_server().recv_buffer();
  REQUIRE(first.has_value());
  CHECK(first->size() == 10);
  bench.far_client().reset();
  const auto next = co_await bench.far_server().recv_buffer();
  REQUIRE(!next.has_value());
  CHECK(next.error().reason == Reason::kPeerReset);
  co_await scope.join();
}

TEST_CASE("a reset of one end is a reset for the other, never an end of stream") {
  Bench bench;
  bench.ring->run(client_resets(bench));
  REQUIRE(bench.outcome.has_value());
  REQUIRE(!bench.outcome->has_value());
  CHECK(bench.outcome->error().reason == Reason::kPeerReset);
}

Task<void> cancel_while_idle(Bench& bench) {
  co_await connect_both(bench);
  io::TaskScope scope;
  io::internal::largest_frame_bytes = 0;
  scope.spawn(run_relay(bench));
  scope.cancel();
  CHECK(!bench.outcome.has_value());  // a request, not yet a fact
  co_await scope.join();
  const auto after = co_await bench.far_client().recv_buffer();
  CHECK(!after.has_value());
}

TEST_CASE("a cancelled relay resets both ends; its frames stay within their budget") {
  Bench bench;
  bench.ring->run(cancel_while_idle(bench));
  REQUIRE(bench.outcome.has_value());
  REQUIRE(!bench.outcome->has_value());
  CHECK(bench.outcome->error().reason == Reason::kCancelled);
  INFO("largest frame: " << io::internal::largest_frame_bytes);
  CHECK(io::internal::largest_frame_bytes <= 512);
}

}  // namespace
}  // namespace mesh::ztunnel
