// How connections to endpoints end. A reset is an error in the log of the endpoint's ztunnel, and
// in its application's: only what was cut off is reset.

#include <catch2/catch_test_macros.hpp>

#include "waypoint/test_world.h"

namespace mesh::waypoint::test {
namespace {

using namespace std::chrono_literals;

// Answers every request that comes with `answer`, and keeps how its connection ended.
struct Endpoint {
  std::string answer;
  bool closes = false;  // ends after the first answer
  std::string end;
  io::Event ended;

  Endpoint(World& world, std::string with) : answer(std::move(with)), ended(*world.ring) {
    world.application.raw = [this](wire::Wire& wire) { return serve(wire); };
  }
  io::Task<void> serve(wire::Wire& wire) {
    end = co_await talk(wire);
    ended.set();
  }
  io::Task<std::string> talk(wire::Wire& wire) {
    for (;;) {
      const auto asked = co_await wire.recv();
      if (!asked) co_return std::string(reason_name(asked.error().reason));
      if (asked->empty()) break;
      const auto sent = co_await wire.send_all(bytes(answer));
      if (!sent) co_return std::string(reason_name(sent.error().reason));
      if (closes) (void)wire.finish_sending();
    }
    (void)wire.finish_sending();
    co_return "end";
  }
};

const std::string kKept = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
const std::string kLast = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi";

io::Task<void> ask_then_wait(World& world, Endpoint& endpoint) {
  const Answer answer = co_await ask(world, {.headers = {}});
  CHECK(answer.status == 200);
  CHECK(answer.body == "hi");
  const auto ended = co_await io::with_deadline(*world.ring, 60s, "end", endpoint.ended.wait());
  CHECK(ended.has_value());
}

TEST_CASE("a connection to an endpoint that is not to be used again ends without a reset") {
  for (const bool closes : {false, true}) {
    World world;
    Endpoint endpoint(world, kLast);
    endpoint.closes = closes;
    world.run(ask_then_wait(world, endpoint));
    CHECK(endpoint.end == "end");
    CHECK(world.upstreams.counts().connections == 0);
  }
}

TEST_CASE("a connection to an endpoint that was used often enough ends without a reset") {
  World world;
  world.cluster.http.max_requests_per_connection = 1;
  world.use();
  Endpoint endpoint(world, kKept);
  world.run(ask_then_wait(world, endpoint));
  CHECK(endpoint.end == "end");
}

io::Task<void> tended(World& world, Endpoint& endpoint) {
  io::TaskScope tending;
  tending.spawn(world.upstreams.tend());
  co_await ask_then_wait(world, endpoint);
  tending.cancel();
  co_await tending.join();
}

TEST_CASE("a connection to an endpoint that waited too long ends without a reset", "[time]") {
  World world;
  world.cluster.http.idle_timeout = 1s;
  world.use();
  Endpoint endpoint(world, kKept);
  world.run(tended(world, endpoint));
  CHECK(endpoint.end == "end");
}

io::Task<void> ask_once(World& world) {
  const Answer answer = co_await ask(world, {.headers = {}});
  CHECK(answer.status == 200);
}

TEST_CASE("what is behind another waypoint is asked for by a tunnel to that one") {
  World world;
  auto endpoints = std::make_shared<config::Endpoints>(*world.cluster.inline_endpoints);
  endpoints->all[0].address = net::SocketAddress::parse("192.0.2.1:80").value();
  endpoints->all[0].via = world.endpoint.listener.local_address();
  world.cluster.inline_endpoints = endpoints;
  world.use();
  Endpoint endpoint(world, kKept);
  world.run(ask_once(world));
  CHECK(world.application.asked == std::vector<std::string>{"192.0.2.1:80"});
}

TEST_CASE("kept connections to endpoints end without a reset when the waypoint goes") {
  World world;
  Endpoint endpoint(world, kKept);
  world.run(ask_once(world));
  CHECK(endpoint.end == "end");
}

// The client goes in the middle of the answer.
io::Task<void> go_early(World& world, Endpoint& endpoint) {
  auto wire = co_await world.call();
  REQUIRE(wire.has_value());
  wire::Http1Client client(*std::move(wire), {});
  {
    auto stream = client.begin();
    const auto sent = co_await stream->send(
        {.method = "GET", .authority = "cart", .path = "/", .headers = {}}, true);
    CHECK(sent.has_value());
    const auto head = co_await stream->read_head();
    REQUIRE(head.has_value());
    CHECK(head->status == 200);
  }
  const auto ended = co_await io::with_deadline(*world.ring, 60s, "end", endpoint.ended.wait());
  CHECK(ended.has_value());
}

TEST_CASE("a connection whose answer was not finished is reset") {
  World world;
  Endpoint endpoint(world, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nh");
  world.run(go_early(world, endpoint));
  CHECK(endpoint.end == "peer_reset");
}

// An endpoint that keeps its direction open does not hold us.
io::Task<void> never_end(wire::Wire& wire) {
  const auto asked = co_await wire.recv();
  CHECK(asked.has_value());
  const auto sent = co_await wire.send_all(bytes(kLast));
  CHECK(sent.has_value());
  const auto end = co_await wire.recv();
  REQUIRE(end.has_value());
  CHECK(end->empty());
  const auto broken = co_await wire.send_all(bytes("x"));
  CHECK(broken.has_value());
  for (;;) {
    const auto reset = co_await wire.send_all(bytes(std::string(100'000, 'x')));
    if (!reset) break;
  }
}

TEST_CASE("an endpoint that does not end is reset after a second", "[time]") {
  World world;
  world.application.raw = never_end;
  world.run(ask_once(world));
  CHECK(world.upstreams.counts().connections == 0);
}

}  // namespace
}  // namespace mesh::waypoint::test
