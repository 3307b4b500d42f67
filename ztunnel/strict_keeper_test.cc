#include "ztunnel/strict_keeper.h"

#include <sys/mman.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>

#include "mesh/io/test_bench.h"
#include "mesh/io/unix_socket.h"
#include "mesh/workload/directory_builder.h"

namespace mesh::ztunnel {
namespace {

using io::Task;

const std::string kOne =
    R"({"connections":[{"local":"10.0.1.1:6379","remote":"10.0.9.1:41000"}],"ok":true,"total":1})";
const std::string kNone = R"({"connections":[],"ok":true,"total":0})";

workload::DirectoryPtr world(bool strict) {
  workload::DirectoryBuilder builder(nullptr);
  workload::Delta delta{.addresses_complete = true, .policies_complete = true};
  workload::Workload redis{.uid = "w", .name = "redis", .ns = "shop"};
  redis.service_account = "redis";
  delta.workloads.push_back(std::make_shared<const workload::Workload>(redis));
  policy::Policy policy{.key = "shop/p", .ns = "shop", .name = "p"};
  policy::Match match;
  if (strict) {
    match.not_principals = {{.kind = policy::StringMatch::Kind::kPresence}};
  } else {
    match.destination_ports = {1};
  }
  policy.any_of = {{.all_of = {{.any_of = {match}}}}};
  delta.policies.push_back(std::make_shared<const policy::Policy>(policy));
  builder.apply(delta);
  return std::move(builder).build();
}

// A node without lanes, and an agent that gives one answer a connection and then stops.
struct Bench {
  Bench() {
    REQUIRE(mkdtemp(folder.data()) != nullptr);
    config.agent_socket = folder + "/agent.sock";
    node.emplace(*ring, config, telemetry, nullptr);
    keeper.emplace(*ring, config, telemetry, *node);
  }
  ~Bench() { rmdir(folder.c_str()); }

  Task<void> answer(io::SeqpacketListener& listener, std::vector<std::string> answers) {
    for (const std::string& one : answers) {
      auto socket = co_await listener.accept();
      REQUIRE(socket.has_value());
      std::array<std::byte, 1024> memory;
      const auto request = co_await socket->recv(memory, 0);
      REQUIRE(request.has_value());
      asked.emplace_back(reinterpret_cast<const char*>(memory.data()), request->size);
      if (one.empty()) continue;  // closes without a word
      const auto sent = co_await socket->send(std::as_bytes(std::span(one)));
      REQUIRE(sent.has_value());
      const auto over = co_await socket->recv(memory, 0);  // it has heard us
      REQUIRE(over.has_value());
      CHECK(over->size == 0);
    }
  }
  Task<void> run() {
    auto listener = io::SeqpacketListener::listen(*ring, config.agent_socket);
    REQUIRE(listener.has_value());
    std::string problem;
    node->publish(world(false), [] {});
    const auto added = co_await node->add_pod(
        {.uid = "u", .name = "redis", .ns = "shop", .service_account = "redis"}, nullptr, problem);
    REQUIRE(added.has_value());
    io::TaskScope keepers;
    keepers.spawn(keeper->run());
    co_await answer(*listener, permissive);
    node->publish(world(true), [] {});
    node->changed().set();
    co_await answer(*listener, strict);
    keepers.cancel();
    co_await keepers.join();
  }
  std::string metrics() { return telemetry.metrics.render(); }

  std::string folder = "/tmp/weft-strict-test-" + std::string(6, 'X');
  std::unique_ptr<io::Ring> ring = io::test::make_ring();
  std::vector<std::string> permissive, strict, asked;
  Config config;
  int fd = memfd_create("log", MFD_CLOEXEC);
  telemetry::LogSink sink{fd};
  telemetry::LogFilter filter;
  telemetry::Log log{sink, telemetry::LogFormat::kText, filter};
  Telemetry telemetry{log};
  std::optional<Node> node;
  std::optional<StrictKeeper> keeper;
};

const std::string kList = R"({"op":"connections","uid":"u"})";
const std::string kEnd = R"({"op":"end-connections","uid":"u"})";

TEST_CASE("older connections are listed once, and ended when a policy refuses plaintext") {
  Bench bench;
  bench.permissive = {kOne};
  bench.strict = {kOne, R"({"ended":1,"ok":true})"};
  bench.ring->run(bench.run());
  CHECK(bench.asked == std::vector{kList, kList, kEnd});
}

TEST_CASE("what is over by now is not ended") {
  Bench bench;
  bench.permissive = {kOne};
  bench.strict = {kNone};
  bench.ring->run(bench.run());
  CHECK(bench.asked == std::vector{kList, kList});
}

TEST_CASE("an agent that fails is asked again, and that is counted") {
  Bench bench;
  bench.permissive = {"", R"({"ok":false,"error":"busy"})", kOne};
  bench.strict = {kOne, "nonsense", kOne, R"({"ended":1,"ok":true})"};
  bench.ring->run(bench.run());
  CHECK(bench.asked == std::vector{kList, kList, kList, kList, kEnd, kList, kEnd});
  CHECK(bench.metrics().find("weft_older_connections_failures_total 3") != std::string::npos);
}

}  // namespace
}  // namespace mesh::ztunnel
