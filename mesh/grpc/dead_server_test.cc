// What only virtual time can show soon: a server that is gone without a word.

#include <catch2/catch_test_macros.hpp>

#include "mesh/grpc/channel.h"
#include "mesh/io/sim.h"
#include "test/support/grpc_server.h"
#include "test/support/test_ca.h"

namespace mesh::grpc {
namespace {

using namespace std::chrono_literals;

class Mute final : public test::Service {
 public:
  void on_message(test::ServerCall&, std::string) override {}
};

io::Task<void> hold_a_call(Channel& channel, io::Ring& ring, bool& open, io::TimePoint& ended) {
  auto call = co_await channel.start("/test.Mute/Listen");
  REQUIRE(call.has_value());
  open = true;
  const auto message = co_await call->receive();
  CHECK((!message || !*message));
  CHECK(call->status().code == StatusCode::kUnavailable);
  ended = ring.now();
}

io::Task<void> until_cancelled(test::GrpcServer& server, io::TaskScope& scope) {
  scope.spawn(server.run());
  co_await scope.join();
}

io::Task<void> close_channel(Channel& channel) { co_await channel.close(); }

TEST_CASE("a control plane that falls silent is noticed within 15 s", "[channel]") {
  io::sim::World world;
  const net::IpAddress ip = *net::IpAddress::parse("10.0.0.2");
  io::sim::Host& node = world.add_host("node", {*net::IpAddress::parse("10.0.0.1")});
  io::sim::Host& control = world.add_host("control", {ip});
  const auto node_ring = *node.make_ring(), control_ring = *control.make_ring();
  test::TestCa ca;
  const auto now = std::chrono::floor<std::chrono::seconds>(node_ring->wall_now());
  Mute mute;
  test::GrpcServer server(*control_ring, test::control_context(ca, now, "10.0.0.2"), {ip, 15012},
                          {{"/test.Mute/Listen", &mute}});
  io::TaskScope serving;
  world.start(*control_ring, until_cancelled(server, serving));
  ChannelOptions options;
  options.target = {.host = "10.0.0.2", .port = 15012};
  options.roots = [&] { return Result<std::string>(ca.bundle().to_pem()); };
  options.metadata = bearer_metadata("", {});
  Channel channel(*node_ring, std::move(options));
  bool open = false;
  io::TimePoint ended{};
  world.start(*node_ring, hold_a_call(channel, *node_ring, open, ended));
  world.run_for(35s);
  REQUIRE(open);
  CHECK(ended == io::TimePoint{});  // an idle one lives
  world.partition(node, control);
  const io::TimePoint cut = world.now();
  world.run_for(20s);
  CHECK(ended > cut);
  CHECK(ended - cut <= 15s);
  CHECK(channel.counters().keepalive_failures == 1);
  world.heal(node, control);
  world.start(*node_ring, close_channel(channel));
  world.run_for(5s);
  control_ring->post([&] { serving.cancel(); });
  world.run_for(5s);
}

}  // namespace
}  // namespace mesh::grpc
