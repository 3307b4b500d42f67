#include "ztunnel/zds_client.h"

#include <sys/mman.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>

#include "mesh/io/test_bench.h"

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
struct Bench {
  Bench() {
    REQUIRE(mkdtemp(folder.data()) != nullptr);
    config.workers = 1;
    config.zds_socket = folder + "/zds.sock";
    node.emplace(*ring, config, telemetry, nullptr);
    client.emplace(*ring, config, telemetry, *node);
  }
  ~Bench() { rmdir(folder.c_str()); }

  Task<void> be_agent(io::TaskScope& clients) {
    auto listener = io::SeqpacketListener::listen(*ring, config.zds_socket);
    REQUIRE(listener.has_value());
    clients.spawn(client->run());
    for (const std::vector<std::string>& script : scripts) {
      auto socket = co_await listener->accept();
      REQUIRE(socket.has_value());
      ++connections;
      std::array<std::byte, 1024> memory;
      const auto hello = co_await socket->recv(memory, 0);
      REQUIRE(hello.has_value());
      for (const std::string& packet : script) {
        const auto sent = co_await socket->send(std::as_bytes(std::span(packet)));
        REQUIRE(sent.has_value());
        const auto ack = co_await socket->recv(memory, 0);
        REQUIRE(ack.has_value());
        acks.emplace_back(reinterpret_cast<const char*>(memory.data()), ack->size);
      }
    }
  }
  Task<void> run() {
    io::TaskScope clients;
    co_await be_agent(clients);
    clients.cancel();
    co_await clients.join();
  }

  std::string folder = "/tmp/weft-zds-test-" + std::string(6, 'X');
  std::unique_ptr<io::Ring> ring = io::test::make_ring();
  std::vector<std::vector<std::string>> scripts;
  unsigned connections = 0;
  std::vector<std::string> acks;
  Config config;
  int fd = memfd_create("log", MFD_CLOEXEC);
  telemetry::LogSink sink{fd};
  telemetry::LogFilter filter;
  telemetry::Log log{sink, telemetry::LogFormat::kText, filter};
  Telemetry telemetry{log};
  std::optional<Node> node;
  std::optional<ZdsClient> client;
};

const std::string kSnapshot("\x1a\x00", 2);
const std::string kKeep("\x2a\x03\x0a\x01z", 5);
const std::string kAck("\x0a\x00", 2);

TEST_CASE("every message is acked, in order") {
  Bench bench;
  bench.scripts = {{kKeep, kSnapshot}};
  bench.ring->run(bench.run());
  CHECK(bench.acks == std::vector<std::string>{kAck, kAck});
}

TEST_CASE("do better 9: a broken message ends the conversation, not the process") {
  Bench bench;
  bench.scripts = {{"\xff\xff\xff"},
                   {kSnapshot, kSnapshot},
                   {kSnapshot, kKeep},
                   {std::string(1025, 'x')},
                   {kSnapshot}};
  bench.ring->run(bench.run());
  CHECK(bench.connections == 5);
  REQUIRE(bench.acks.size() == 7);
  CHECK(bench.acks[0].find("invalid varint") != std::string::npos);
  CHECK(bench.acks[2].find("snapshot received already") != std::string::npos);
  CHECK(bench.acks[4].find("keep received after snapshot") != std::string::npos);
  CHECK(bench.acks[5].find("truncated") != std::string::npos);
  CHECK(bench.acks[6] == kAck);
  CHECK(bench.telemetry.metrics.render().find("weft_zds_errors_total 4") != std::string::npos);
}

}  // namespace
}  // namespace mesh::ztunnel
