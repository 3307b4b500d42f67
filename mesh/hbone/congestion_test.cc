#include "mesh/hbone/congestion.h"

#include <catch2/catch_test_macros.hpp>

#include "mesh/hbone/test_world.h"
#include "mesh/io/kernel_features.h"

namespace mesh::hbone::test {
namespace {

TEST_CASE("tunnels do not pace unless told, or sent far", "[congestion]") {
  const auto automatic = CongestionOptions::parse("auto");
  REQUIRE(automatic.has_value());
  CHECK(automatic->by_path == !automatic->at_first.empty());
  CHECK(automatic->at_first == io::unpaced_congestion_control());
  const auto system = CongestionOptions::parse("system");
  REQUIRE(system.has_value());
  CHECK((system->at_first.empty() && !system->by_path));
  const auto named = CongestionOptions::parse("reno");
  REQUIRE(named.has_value());
  CHECK((named->at_first == "reno" && !named->by_path));
  CHECK(!CongestionOptions::parse("no-such-thing"));
  CHECK(!CongestionOptions::parse(""));
}

// A connection of the loopback, whose path is short, and what both of its ends send by.
struct Pair {
  explicit Pair(World& world) : ring(*world.ring), rule(options) {}
  io::Ring& ring;
  CongestionOptions options = {.at_first = "reno", .by_path = true};
  Congestion rule;
  std::string client, server, after_little, after_much, system;
  bool short_path = false;
};

io::Task<void> send_on_short_path(World& world, Pair& pair) {
  io::ListenOptions at{
      .at = io::test::loopback(), .congestion_control = pair.options.at_first, .mark = {}};
  auto listener = io::Listener::listen(pair.ring, at);
  REQUIRE(listener.has_value());
  io::ConnectOptions to{
      .to = listener->local_address(), .mark = {}, .congestion_control = pair.options.at_first};
  auto client = co_await io::connect(pair.ring, to);
  REQUIRE(client.has_value());
  auto server = co_await listener->accept();
  REQUIRE(server.has_value());
  pair.client = client->congestion_control();
  pair.server = server->congestion_control();
  const io::TimePoint now = world.ring->now();
  pair.rule.before_sending(*client, Congestion::kUnseen, now);
  pair.after_little = client->congestion_control();
  pair.rule.before_sending(*client, 1, now);
  pair.after_much = client->congestion_control();
  pair.short_path = client->shortest_round_trip().value() < Congestion::kShort;
  server->use_congestion_control({});
  pair.system = server->congestion_control();
}

TEST_CASE("both ends of a short path keep the algorithm that does not pace", "[congestion]") {
  World world;
  Pair pair(world);
  world.ring->run(send_on_short_path(world, pair));
  CHECK(pair.client == pair.options.at_first);
  CHECK(pair.server == pair.options.at_first);
  CHECK(pair.after_little == pair.options.at_first);
  // A machine that stood still during the handshake has a long path, for once.
  CHECK(pair.after_much == (pair.short_path ? pair.options.at_first : pair.system));
}

}  // namespace
}  // namespace mesh::hbone::test
