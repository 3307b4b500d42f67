#include "ztunnel/zds_client.h"

#include <sys/mman.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>

#include "mesh/io/sim.h"
#include "mesh/io/timer.h"
#include "mesh/workload/directory_builder.h"

namespace mesh::ztunnel {
namespace {

using io::Task;

TEST_CASE("do better 9: an agent that accepts and closes is not redialled in a hot loop") {
  io::Duration backoff{};
  io::Duration sum{};
  for (int i = 0; i < 11; ++i) {
    backoff = next_backoff(backoff, false);
    sum += backoff;
  }
  CHECK(sum > std::chrono::seconds(10));  // recorded: 11 times in 2 ms
  CHECK(next_backoff(std::chrono::seconds(10), false) == kAgentBackoffMax);
  CHECK(next_backoff(kAgentBackoffMax, true) == kAgentBackoffFirst);
}

// An agent that sends what a test tells it, one script a connection, and keeps the acks.
struct Agent {
  explicit Agent(io::sim::World& world)
      : ring(*world.add_host("node", {*net::IpAddress::parse("10.0.0.1")}).make_ring()) {}

  Task<void> run() {
    auto listener = io::SeqpacketListener::listen(*ring, "/run/zds.sock");
    REQUIRE(listener.has_value());
    for (const std::vector<std::string>& script : scripts) {
      auto socket = co_await listener->accept();
      if (!socket) co_return;
      ++connections;
      std::array<std::byte, 1024> memory;
      const auto hello = co_await socket->recv(memory, 0);
      if (!hello) co_return;
      for (const std::string& packet : script) {
        if (!co_await socket->send(std::as_bytes(std::span(packet)))) break;
        const auto ack = co_await socket->recv(memory, 0);
        if (!ack || ack->size == 0) break;
        acks.emplace_back(reinterpret_cast<const char*>(memory.data()), ack->size);
      }
      last = std::make_unique<io::SeqpacketSocket>(*std::move(socket));
    }
  }

  std::unique_ptr<io::Ring> ring;
  std::vector<std::vector<std::string>> scripts;
  unsigned connections = 0;
  std::vector<std::string> acks;
  std::unique_ptr<io::SeqpacketSocket> last;  // the last connection stays open
};

struct Bench {
  Bench() {
    config.workers = 1;
    config.zds_socket = "/run/zds.sock";
    node.emplace(*agent.ring, config, telemetry, nullptr);
    client.emplace(*agent.ring, config, telemetry, *node);
  }
  Task<void> run(io::Duration limit) {
    io::TaskScope scope;
    scope.spawn(agent.run());
    scope.spawn(client->run());
    (void)co_await io::with_deadline(*agent.ring, limit, "test", stop.wait());
    ready = node->pending() == std::vector<std::string>{"state manager"};
    scope.cancel();
    co_await scope.join();
    agent.last.reset();
  }
  void play(io::Duration limit) {
    world.start(*agent.ring, run(limit));
    world.run_for(limit + std::chrono::seconds(5));
  }

  io::sim::World world{io::sim::Options{.seed = 3, .faults = {}}};
  Agent agent{world};
  Config config;
  int fd = memfd_create("log", MFD_CLOEXEC);
  telemetry::LogSink sink{fd};
  telemetry::LogFilter filter;
  telemetry::Log log{sink, telemetry::LogFormat::kText, filter};
  Telemetry telemetry{log};
  std::optional<Node> node;
  std::optional<ZdsClient> client;
  io::Event stop{*agent.ring};
  bool ready = false;
};

const std::string kSnapshot("\x1a\x00", 2);
const std::string kKeep("\x2a\x03\x0a\x01z", 5);
const std::string kAck("\x0a\x00", 2);

TEST_CASE("a snapshot makes the node ready, as far as the agent is concerned") {
  Bench bench;
  bench.agent.scripts = {{kKeep, kSnapshot}};
  bench.play(std::chrono::seconds(1));
  CHECK(bench.agent.acks == std::vector<std::string>{kAck, kAck});
  CHECK(bench.ready);
}

TEST_CASE(
    "do better 9: a message that breaks the protocol ends the conversation, not the process") {
  Bench bench;
  bench.agent.scripts = {{"\xff\xff\xff"},
                         {kSnapshot, kSnapshot},
                         {kSnapshot, kKeep},
                         {std::string(1025, 'x')},
                         {kSnapshot}};
  bench.play(std::chrono::seconds(5));
  CHECK(bench.agent.connections == 5);
  REQUIRE(bench.agent.acks.size() == 7);
  CHECK(bench.agent.acks[0].find("invalid varint") != std::string::npos);
  CHECK(bench.agent.acks[2].find("snapshot received already") != std::string::npos);
  CHECK(bench.agent.acks[4].find("keep received after snapshot") != std::string::npos);
  CHECK(bench.agent.acks[5].find("truncated") != std::string::npos);
  CHECK(bench.ready);
  CHECK(bench.telemetry.metrics.render().find("weft_zds_errors_total 4") != std::string::npos);
}

}  // namespace
}  // namespace mesh::ztunnel
