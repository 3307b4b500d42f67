// Connections to endpoints: how many there may be, how long they are used, who waits for them.

#include <algorithm>
#include <catch2/catch_test_macros.hpp>

#include "mesh/io/task_scope.h"
#include "waypoint/test_world.h"

namespace mesh::waypoint::test {
namespace {

using What = balance::Breaker::What;

// Requests stay in the application until it is told to go on.
struct Held {
  World world;
  io::Event go{*world.ring};
  std::vector<int> statuses;

  explicit Held(wire::Version version) {
    world.application.version = version;
    if (version == wire::Version::kHttp2) {
      world.cluster.http.version = config::Http::Version::kHttp2;
    }
    world.application.handler.serve = [this](wire::ServerStream& stream) -> io::Task<void> {
      (void)stream.take_request();
      (void)co_await go.wait();
      (void)co_await stream.respond({.status = 200, .headers = {}}, true);
    };
  }
  io::Task<void> one() {
    const Answer answer = co_await ask(world, {});
    statuses.push_back(answer.status);
  }
  std::uint64_t now(What what) {
    return world.fleet.breaker(*world.context.snapshot, world.cluster, false).now(what);
  }
  // One request, then three at once; when all are answered, wait, or are in the application, those
  // in the application go on.
  io::Task<void> story() {
    const std::size_t& running = world.application.handler.running;
    io::TaskScope asking;
    asking.spawn(one());
    const auto first = [&] { return running == 1; };
    co_await until(*world.ring, first);
    for (int i = 0; i < 3; ++i) asking.spawn(one());
    const auto all = [&] { return statuses.size() + now(What::kPending) + running >= 4; };
    co_await until(*world.ring, all);
    go.set();
    co_await asking.join();
  }
  std::size_t count(int status) const {
    return static_cast<std::size_t>(std::ranges::count(statuses, status));
  }
};

TEST_CASE("a cluster has no more connections than it may; who does not fit waits, or is refused") {
  const struct {
    wire::Version version;
    std::uint32_t connections, pending, streams;
    std::size_t answered, refused, dialled;
  } rows[] = {
      {wire::Version::kHttp1, 1024, 1024, 0, 4, 0, 4},
      {wire::Version::kHttp1, 1, 1024, 0, 4, 0, 1},
      {wire::Version::kHttp1, 2, 1024, 0, 4, 0, 2},
      {wire::Version::kHttp1, 1, 1, 0, 2, 2, 1},
      {wire::Version::kHttp2, 1024, 1024, 0, 4, 0, 1},
      {wire::Version::kHttp2, 1024, 1024, 2, 4, 0, 2},
      {wire::Version::kHttp2, 1, 1024, 1, 4, 0, 1},
      {wire::Version::kHttp2, 1, 1, 1, 2, 2, 1},
  };
  for (const auto& row : rows) {
    INFO("connections " << row.connections << " pending " << row.pending << " streams "
                        << row.streams);
    Held held(row.version);
    held.world.cluster.normal.max_connections = row.connections;
    held.world.cluster.normal.max_pending = row.pending;
    held.world.cluster.http.max_concurrent_streams = row.streams;
    held.world.use();
    held.world.run(held.story());
    CHECK(held.count(200) == row.answered);
    CHECK(held.count(503) == row.refused);
    CHECK(held.world.application.asked.size() == row.dialled);
    CHECK(held.now(What::kPending) == 0);
    CHECK(held.now(What::kConnection) == 0);
    CHECK(held.now(What::kRequest) == 0);
    std::size_t overflows = 0;
    for (const Record& record : held.world.kept.records) {
      overflows += record.flags.to_string() == "UO" ? 1u : 0u;
    }
    CHECK(overflows == row.refused);
  }
}

io::Task<void> one_after_the_other(World& world, int count) {
  for (int i = 0; i < count; ++i) {
    const Answer answer = co_await ask(world, {});
    CHECK(answer.status == 200);
    co_await lapse(*world.ring, std::chrono::milliseconds(100));
  }
}

TEST_CASE("a connection carries, and lives, as much as it may", "[time]") {
  for (const auto version : {wire::Version::kHttp1, wire::Version::kHttp2}) {
    for (const bool by_time : {false, true}) {
      World world;
      world.application.handler.serve = wire::test::echo;
      world.application.version = version;
      if (version == wire::Version::kHttp2) {
        world.cluster.http.version = config::Http::Version::kHttp2;
      }
      if (by_time) {
        world.cluster.http.max_connection_duration = std::chrono::milliseconds(250);
      } else {
        world.cluster.http.max_requests_per_connection = 3;
      }
      world.use();
      world.run(one_after_the_other(world, 9));
      CHECK(world.application.asked.size() == 3);
    }
  }
}

TEST_CASE("opaque connections count as connections") {
  World world;
  world.application.raw = [](wire::Wire& wire) -> io::Task<void> {
    (void)co_await wire::linger(wire, 1000);
    (void)wire.finish_sending();
  };
  world.cluster.normal.max_connections = 1;
  world.use();
  struct Story {
    static io::Task<void> tell(World& world) {
      auto first = co_await world.call(kTcpService);
      REQUIRE(first.has_value());
      auto& breaker = world.fleet.breaker(*world.context.snapshot, world.cluster, false);
      const auto connected = [&] { return breaker.now(What::kConnection) == 1; };
      co_await until(*world.ring, connected);
      const std::string second = co_await world.talk("x", kTcpService);
      CHECK(second == "!peer_reset");
      CHECK(world.kept.last().flags.to_string() == "UO");
      (void)(*first)->finish_sending();
    }
  };
  world.run(Story::tell(world));
}

TEST_CASE("all rings count together") {
  Breakers breakers;
  config::CircuitBreaker limits{.max_requests = 1};
  balance::Breaker one(limits, breakers.of("a", false)), other(limits, breakers.of("a", false));
  balance::Breaker high(limits, breakers.of("a", true)), another(limits, breakers.of("b", false));
  auto place = one.hold(What::kRequest);
  CHECK(place.has_value());
  CHECK_FALSE(other.acquire(What::kRequest));
  CHECK(one.overflows(What::kRequest) == 1);
  CHECK(high.acquire(What::kRequest));
  CHECK(another.acquire(What::kRequest));
  place.reset();
  CHECK(other.acquire(What::kRequest));
}

}  // namespace
}  // namespace mesh::waypoint::test
