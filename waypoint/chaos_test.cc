// Many seeds of a small world: clients of both versions, an application that fails in every way,
// configuration that changes meanwhile. Each request is answered exactly once or ends with an
// error, no byte is out of its order, every exchange is recorded once, nothing is left behind.

#include <catch2/catch_test_macros.hpp>
#include <cstdlib>

#include "mesh/io/sim.h"
#include "mesh/io/timer.h"
#include "waypoint/test_world.h"

namespace mesh::waypoint::test {
namespace {

using namespace std::chrono_literals;

struct Tally {
  int asked = 0, whole = 0, failed = 0, refused = 0, wrong = 0;
};

// The body that belongs to a request: its number, over and over.
std::string body_of(int number, std::size_t size) {
  std::string body;
  while (body.size() < size) body += std::to_string(number) + ",";
  return body;
}

struct Chaos {
  explicit Chaos(std::uint64_t seed) : dice(seed) {}
  World world;
  http::Dice dice;
  Tally tally;

  io::Task<void> serve(wire::ServerStream& stream);
  io::Task<void> ask_once(int number);
  io::Task<void> client(int first, int count);
  io::Task<void> change();
  io::Task<void> story();
};

io::Task<void> Chaos::serve(wire::ServerStream& stream) {
  const http::Request request = stream.take_request();
  const std::uint64_t mood = dice.below(12);
  if (mood == 0) {  // gives up before it answers
    stream.reset(h2::ErrorCode::kRefusedStream);
    co_return;
  }
  if (mood == 1) {
    (void)co_await stream.respond({.status = 503, .headers = {}}, true);
    co_return;
  }
  if (mood == 2) co_await hbone::test::pass_until(*world.ring, world.ring->now() + 50ms);
  std::string body = co_await wire::test::read_all(stream);
  if (body.contains('!')) co_return;
  h2::Headers headers;
  if (mood == 3) headers.push_back({"content-length", std::to_string(body.size())});
  const auto answered = co_await stream.respond({.status = 200, .headers = headers}, false);
  if (!answered) co_return;
  std::string_view left = body;
  while (!left.empty()) {
    if (mood == 4 && dice.below(3) == 0) {  // gives up in the middle
      stream.reset(h2::ErrorCode::kInternalError);
      co_return;
    }
    const std::size_t size = std::min<std::size_t>(left.size(), 1 + dice.below(20'000));
    const auto wrote = co_await stream.write(bytes(left.substr(0, size)));
    if (!wrote) co_return;
    left.remove_prefix(size);
  }
  (void)co_await stream.finish({});
}

io::Task<void> Chaos::ask_once(int number) {
  ++tally.asked;
  const std::string body = body_of(number, 1 + dice.below(dice.below(4) == 0 ? 200'000 : 2'000));
  auto wire = co_await world.call();
  if (!wire) {
    ++tally.refused;
    co_return;
  }
  wire::Http1Client client(*std::move(wire), {});
  auto stream = client.begin();
  http::Request request{.method = dice.below(2) == 0 ? "POST" : "PUT",
                        .authority = "cart",
                        .path = "/" + std::to_string(number),
                        .headers = {}};
  auto done = co_await stream->send(request, false);
  if (done) done = co_await stream->write(bytes(body));
  if (done) done = co_await stream->finish({});
  auto head = co_await stream->read_head();
  if (!head) {
    ++tally.failed;
    co_return;
  }
  const std::string answer = co_await wire::test::read_all(*stream);
  if (answer.contains('!')) {
    ++tally.failed;
    // What came before the cut was in order.
    if (head->status == 200 && !body.starts_with(answer.substr(0, answer.find('!')))) ++tally.wrong;
  } else if (head->status != 200) {
    ++tally.failed;
  } else {
    answer == body ? ++tally.whole : ++tally.wrong;
  }
}

io::Task<void> Chaos::client(int first, int count) {
  for (int i = 0; i < count; ++i) co_await ask_once(first + i);
}

io::Task<void> Chaos::change() {
  for (int i = 0; i < 4; ++i) {
    const io::Duration pause = std::chrono::milliseconds(1 + dice.below(20));
    co_await hbone::test::pass_until(*world.ring, world.ring->now() + pause);
    world.forward.retry.reset();
    if (dice.below(2) == 0) {
      world.forward.retry = config::RetryPolicy{.on_5xx = true, .retries = 2, .backoff_base = 1ms};
    }
    world.cluster.http.version = world.application.version == wire::Version::kHttp2
                                     ? config::Http::Version::kHttp2
                                     : config::Http::Version::kHttp1;
    world.forward.timeout = dice.below(3) == 0 ? 20ms : 0ms;
    world.use();
  }
}

io::Task<void> Chaos::story() {
  io::TaskScope clients;
  for (int i = 0; i < 3; ++i) clients.spawn(client(100 * i, 3));
  co_await change();
  co_await clients.join();
}

io::Task<void> serve_in(Chaos& chaos, wire::ServerStream& stream) { return chaos.serve(stream); }

TEST_CASE("seeds: each request ends exactly once, whole or with an error", "[time]") {
  const char* const asked = std::getenv("WEFT_WAYPOINT_SEEDS");
  const std::uint64_t seeds = asked == nullptr ? 100 : std::strtoull(asked, nullptr, 10);
  int whole = 0;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    INFO("seed " << seed);
    io::sim::World simulated({.seed = seed});
    Chaos chaos(seed);
    if (seed % 2 == 0) {
      chaos.world.application.version = wire::Version::kHttp2;
      chaos.world.cluster.http.version = config::Http::Version::kHttp2;
      chaos.world.use();
    }
    chaos.world.application.handler.serve = [&chaos](wire::ServerStream& stream) {
      return serve_in(chaos, stream);
    };
    chaos.world.run(chaos.story());
    const Tally& tally = chaos.tally;
    CHECK(tally.asked == 9);
    CHECK(tally.whole + tally.failed + tally.refused == tally.asked);
    CHECK(tally.wrong == 0);
    CHECK(chaos.world.kept.records.size() == static_cast<std::size_t>(tally.asked - tally.refused));
    CHECK(chaos.world.upstreams.counts().connections == 0);
    CHECK(chaos.world.gate.connections() == 0);
    whole += tally.whole;
  }
  CHECK(whole > static_cast<int>(seeds) * 4);
}

}  // namespace
}  // namespace mesh::waypoint::test
