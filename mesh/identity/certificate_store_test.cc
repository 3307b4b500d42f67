// The store over days and outages: linked with io_sim, where a day takes no time.
#include "mesh/identity/certificate_store.h"

#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <string>
#include <vector>

#include "mesh/identity/certificate_view.h"
#include "mesh/io/task_scope.h"
#include "test/support/eventually.h"
#include "test/support/test_ca.h"

namespace mesh::identity {
namespace {

using namespace std::chrono_literals;
using io::Task;

class Ca final : public Issuer {
 public:
  explicit Ca(io::Ring& ring) : ring_(ring) {}

  io::Task<Result<Issued>> issue(net::SpiffeId id, std::string csr_pem) override {
    ++running;
    most_running = std::max(most_running, running);
    asked_for.push_back(id.service_account());
    const auto waited = co_await test::pass(ring_, latency);
    --running;
    CO_TRY_DO(waited);
    if (down) co_return failed(Reason::kRefused, "connect");
    const auto now = std::chrono::floor<std::chrono::seconds>(ring_.wall_now());
    const auto pem = ca_.sign_request(csr_pem, now, lifetime);
    co_return Issued{.chain_pem = pem.at(0), .roots_pem = pem.at(1)};
  }

  bool down = false;
  io::Duration latency = 5ms;
  std::chrono::seconds lifetime = 24h;
  std::vector<std::string> asked_for;
  std::size_t running = 0;
  std::size_t most_running = 0;

 private:
  io::Ring& ring_;
  test::TestCa ca_;
};

struct World {
  explicit World(StoreOptions options = {})
      : ring(*io::Ring::create()),
        ca(*ring),
        view(*ring, [this](const net::SpiffeId& wanted) { store.wanted_now(wanted); }),
        store(
            *ring, ca, options,
            [this](const net::SpiffeId& id, std::shared_ptr<const Certificate> got) {
              view.update(id, std::move(got));
            },
            [this](std::string_view line) { log.emplace_back(line); }) {}

  void run(Task<void> (*story)(World&)) { ring->run(with_store(story)); }
  Task<void> with_store(Task<void> (*story)(World&)) {
    io::TaskScope scope;
    scope.spawn(store.run());
    co_await story(*this);
    scope.cancel();
    co_await scope.join();
  }
  Task<void> pass(io::Duration time) {
    const auto slept = co_await test::pass(*ring, time);
    REQUIRE(slept);
  }

  std::unique_ptr<io::Ring> ring;
  Ca ca;
  CertificateView view;
  CertificateStore store;
  std::vector<std::string> log;
};

net::SpiffeId id(const std::string& service_account) {
  return *net::SpiffeId::make("cluster.local", "shop", service_account);
}

Task<void> rotation_story(World& world) {
  world.ca.lifetime = 30s;
  REQUIRE(world.store.add_user(id("web")));
  const auto first = co_await world.view.wait(id("web"), 5s);
  REQUIRE(first);
  std::vector<std::shared_ptr<const Certificate>> seen;
  for (int tick = 0; tick < 6000; ++tick) {
    co_await world.pass(100ms);
    const auto now = world.view.find(id("web"));
    REQUIRE(now);
    REQUIRE(now->not_after - world.ring->wall_now() > 10s);
    if (seen.empty() || seen.back() != now) seen.push_back(now);
  }
  // Ten minutes of 15 seconds, or a little less, each.
  CHECK(seen.size() >= 39);
  CHECK(seen.size() <= 47);
  CHECK(world.store.counters().failures == 0);
}

TEST_CASE("30-second certificates rotate without a moment between", "[store]") {
  World world;
  world.run(rotation_story);
}

Task<void> outage_story(World& world) {
  world.ca.lifetime = 300s;
  REQUIRE(world.store.add_user(id("web")));
  const auto first = co_await world.view.wait(id("web"), 5s);
  REQUIRE(first);
  world.ca.down = true;
  // To the last second of its life the old one is used...
  const io::Duration life = (*first)->not_after - world.ring->wall_now();
  co_await world.pass(life - 1s);
  CHECK(world.view.find(id("web")) == *first);
  CHECK(certificate_state_name(world.store.list().at(0).state) == "Available");
  CHECK(world.store.counters().failures >= 5);
  // ... and not a moment longer.
  co_await world.pass(1s);
  CHECK(!world.view.find(id("web")));
  CHECK(!world.store.find(id("web")));
  const auto waited = co_await world.view.wait(id("web"), 50ms);
  CHECK(waited.error().reason == Reason::kNoIdentity);
  co_await world.pass(1s);
  CHECK(certificate_state_name(world.store.list().at(0).state) == "Unavailable");
  CHECK(world.store.counters().expired == 1);

  // An hour later the CA is back. Somebody who waits has his certificate within two seconds.
  co_await world.pass(1h);
  world.ca.down = false;
  const io::TimePoint back = world.ring->now();
  const auto again = co_await world.view.wait(id("web"), 10s);
  REQUIRE(again);
  CHECK(world.ring->now() - back <= 2s);
  CHECK(world.view.find(id("web")) == *again);
}

TEST_CASE("a CA that is down: the old certificate to its end, then nothing, then soon again",
          "[store]") {
  World world;
  world.run(outage_story);
}

Task<void> crowd_story(World& world) {
  world.ca.latency = 100ms;
  for (int i = 0; i < 50; ++i) {
    REQUIRE(world.store.add_user(id("warm" + std::to_string(i)), Priority::kWarmup));
  }
  REQUIRE(world.store.add_user(id("urgent"), Priority::kBackground));
  co_await world.pass(10ms);
  const auto urgent = co_await world.view.wait(id("urgent"), 1s);
  CHECK(urgent);
  // Behind the eight that ran already, before the forty-two that waited.
  CHECK(world.ca.asked_for.size() <= 24);
  co_await world.pass(5s);
  CHECK(world.ca.asked_for.size() == 51);
  CHECK(world.ca.most_running == 8);
  for (const CertificateInfo& row : world.store.list()) {
    CHECK(row.state == CertificateState::kAvailable);
  }
}

TEST_CASE("eight requests at once, and somebody waiting goes first", "[store]") {
  World world;
  world.run(crowd_story);
}

Task<void> gone_story(World& world) {
  world.ca.latency = 1s;
  REQUIRE(world.store.add_user(id("web")));
  co_await world.pass(500ms);
  world.store.remove_user(id("web"));
  co_await world.pass(2s);
  CHECK(!world.view.find(id("web")));
  CHECK(world.store.list().empty());
  CHECK(world.view.size() == 0);
}

TEST_CASE("a certificate for pods that left meanwhile goes nowhere", "[store]") {
  World world;
  world.run(gone_story);
}

Task<void> drop_while_waiting(World& world, bool& failed_closed) {
  const auto got = co_await world.view.wait(id("web"), 10s);
  failed_closed = !got && got.error().reason == Reason::kNoIdentity;
}

Task<void> waiters_story(World& world) {
  world.ca.down = true;
  REQUIRE(world.store.add_user(id("web")));
  bool failed_closed = false;
  io::TaskScope scope;
  scope.spawn(drop_while_waiting(world, failed_closed));
  co_await world.pass(100ms);
  world.store.remove_user(id("web"));
  co_await scope.join();
  CHECK(failed_closed);
}

TEST_CASE("whoever waits for an identity that is dropped is told at once", "[store]") {
  World world;
  world.run(waiters_story);
}

Task<void> limit_story(World& world) {
  REQUIRE(world.store.add_user(id("a")));
  REQUIRE(world.store.add_user(id("b")));
  CHECK(world.store.add_user(id("c")).error().reason == Reason::kExhausted);
  REQUIRE(world.store.add_user(id("a")));
  const auto none = co_await world.view.wait(id("c"), 1s);
  CHECK(none.error().reason == Reason::kNoIdentity);
}

TEST_CASE("one identity more than the limit is refused", "[store]") {
  StoreOptions options;
  options.schedule.identities_max = 2;
  World world(options);
  world.run(limit_story);
}

}  // namespace
}  // namespace mesh::identity
