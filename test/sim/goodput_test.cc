// How fast one HBONE stream is on a long path, against bare TCP on the same one.

#include <catch2/catch_test_macros.hpp>

#include "mesh/io/timer.h"
#include "test/sim/ztunnel_node.h"
#include "test/support/directory_text.h"

namespace mesh::sim {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kSize = 50'000'000;
constexpr std::size_t kBlock = 64'000;

net::IpAddress ip(const char* text) { return *net::IpAddress::parse(text); }

io::Task<void> receive(io::Ring& ring, std::size_t& received) {
  auto listener =
      io::Listener::listen(ring, {.at = {ip("0.0.0.0"), kAppPort}, .mark = {}, .netns = nullptr});
  REQUIRE(listener.has_value());
  auto socket = co_await listener->accept();
  REQUIRE(socket.has_value());
  for (;;) {
    const auto buffer = co_await socket->recv_buffer();
    REQUIRE(buffer.has_value());
    if (buffer->empty()) break;
    received += buffer->size();
  }
}

// Until the server has closed, which it does when it has everything.
io::Task<void> send(io::Ring& ring, io::Duration& took) {
  auto socket = co_await io::connect(
      ring, {.to = {ip("10.244.1.11"), kAppPort}, .from = {}, .mark = {}, .netns = nullptr});
  REQUIRE(socket.has_value());
  const io::TimePoint began = ring.now();
  const std::vector<std::byte> block(kBlock);
  for (std::size_t sent = 0; sent < kSize; sent += kBlock) {
    const auto done = co_await socket->send_all(block);
    REQUIRE(done.has_value());
  }
  REQUIRE(socket->finish_sending().has_value());
  const auto end = co_await socket->recv_buffer();
  REQUIRE(end.has_value());
  took = ring.now() - began;
}

// Two pods 50 ms apart, there and back, at 200 Mb/s.
io::Duration transfer(bool through_the_mesh) {
  io::sim::World world({.seed = 7});
  io::sim::Host& client = world.add_host("client", {ip("10.244.0.10")});
  io::sim::Host& server = world.add_host("server", {ip("10.244.1.11")});
  io::sim::Host& machine = world.add_host("machine", {ip("192.168.77.1")});
  world.set_link(client, server, {.delay = 25ms, .jitter = {}, .bytes_per_second = 25'000'000});
  const test::TestCa ca;
  telemetry::LogSink sink(2);
  telemetry::LogFilter filter(telemetry::Level::kError);
  telemetry::Log log(sink, telemetry::LogFormat::kText, filter);
  ztunnel::Config config;
  config.workers = 1;
  config.dns_proxy = false;
  config.termination_deadline = 100ms;
  Findings findings;
  ZtunnelNode node(world, machine, ca, log, config, findings);
  if (through_the_mesh) {
    for (io::sim::Host* host : {&client, &server}) {
      host->capture({.outbound = ztunnel::kOutboundPort,
                     .inbound = ztunnel::kPlaintextPort,
                     .inbound_except = ztunnel::kHbonePort});
    }
    workload::Delta all = workload::test::delta(
        "pod ns0/pod0 10.244.0.10 sa=sa0 hbone\npod ns1/pod1 10.244.1.11 sa=sa1 hbone\n");
    all.addresses_complete = all.policies_complete = true;
    node.start();
    node.add_pod(0, client);
    node.add_pod(1, server);
    node.deliver({.delta = all});
    world.run_for(1s);
    REQUIRE(node.all_up());
    CHECK(findings.lines.empty());
  }
  auto client_ring = client.make_ring();
  auto server_ring = server.make_ring();
  std::size_t received = 0;
  io::Duration took{};
  world.start(**server_ring, receive(**server_ring, received));
  world.start(**client_ring, send(**client_ring, took));
  world.run_for(30s);
  CHECK(received >= kSize);
  if (through_the_mesh) {
    node.stop();
    world.run_for(5s);
    REQUIRE(node.over());
    node.forget();
  }
  return took;
}

TEST_CASE("a stream through the mesh reaches nine tenths of bare TCP's goodput at 50 ms") {
  const io::Duration bare = transfer(false);
  const io::Duration meshed = transfer(true);
  const double share = static_cast<double>(bare.count()) / static_cast<double>(meshed.count());
  INFO("bare " << bare / 1ms << " ms, meshed " << meshed / 1ms << " ms");
  CHECK(bare > 2s);  // the line's own speed
  CHECK(share >= 0.9);
}

}  // namespace
}  // namespace mesh::sim
