#include "mesh/identity/certificate_schedule.h"

#include <string>

#include <catch2/catch_test_macros.hpp>

namespace mesh::identity {
namespace {

using namespace std::chrono_literals;

net::SpiffeId id(std::string_view service_account) {
  return *net::SpiffeId::make("cluster.local", "shop", service_account);
}

io::TimePoint at(io::Duration since_start) { return io::TimePoint(since_start + 1000h); }

// Jitter in the middle of its range: nothing is moved by a retry's ±20 %.
std::uint64_t no_jitter() { return 20; }
std::uint64_t lowest() { return 0; }

TEST_CASE("an identity is due at once, and begun only once") {
  CertificateSchedule schedule({}, lowest);
  CHECK(!schedule.wake_at());
  REQUIRE(schedule.add_user(id("web"), Priority::kWarmup));
  REQUIRE(schedule.add_user(id("web"), Priority::kWarmup));
  CHECK(schedule.wake_at() <= at(0s));

  const auto fetch = schedule.next(at(0s));
  REQUIRE(fetch);
  CHECK(fetch->id == id("web"));
  CHECK(!schedule.next(at(0s)));
  CHECK(!schedule.wake_at());
  CHECK(schedule.users(id("web")) == 2);
}

TEST_CASE("somebody waiting overtakes warm-up, warm-up overtakes refresh, else first come") {
  CertificateSchedule schedule({}, lowest);
  schedule.add_user(id("a-background"), Priority::kBackground);
  schedule.add_user(id("b-warmup"), Priority::kWarmup);
  schedule.add_user(id("c-warmup"), Priority::kWarmup);
  schedule.add_user(id("d-warmup"), Priority::kWarmup);
  schedule.wanted_now(id("d-warmup"), at(0s));

  std::string order;
  while (const auto fetch = schedule.next(at(0s))) order += fetch->id.service_account()[0];
  CHECK(order == "dbca");
}

TEST_CASE("no more than concurrent_max requests run at once") {
  CertificateSchedule schedule({.concurrent_max = 2}, lowest);
  for (const char* name : {"a", "b", "c"}) schedule.add_user(id(name), Priority::kWarmup);
  const auto first = schedule.next(at(0s));
  REQUIRE(first);
  REQUIRE(schedule.next(at(0s)));
  CHECK(!schedule.next(at(0s)));
  CHECK(!schedule.wake_at());

  schedule.fetched(*first, at(1s), 24h);
  CHECK(schedule.running() == 1);
  REQUIRE(schedule.next(at(1s)));
}

TEST_CASE("identities_max refuses one more identity, not one more user") {
  CertificateSchedule schedule({.identities_max = 1}, lowest);
  CHECK(schedule.add_user(id("a"), Priority::kWarmup));
  CHECK(!schedule.add_user(id("b"), Priority::kWarmup));
  CHECK(schedule.add_user(id("a"), Priority::kWarmup));
}

TEST_CASE("a refresh is planned at half of the life, earlier by at most a tenth of that") {
  for (std::uint64_t random = 0; random < 40; ++random) {
    CertificateSchedule schedule({}, [random] { return random; });
    schedule.add_user(id("a"), Priority::kWarmup);
    const auto fetch = schedule.next(at(0s));
    REQUIRE(schedule.fetched(*fetch, at(0s), 30s));
    REQUIRE(schedule.wake_at());
    CHECK(*schedule.wake_at() <= at(15s));
    CHECK(*schedule.wake_at() >= at(13500ms));
    CHECK(!schedule.next(at(13s)));
    CHECK(schedule.next(at(15s)));
  }
}

TEST_CASE("retries double from 1 s to 150 s") {
  CertificateSchedule schedule({}, no_jitter);
  schedule.add_user(id("a"), Priority::kWarmup);
  io::TimePoint now = at(0s);
  for (const auto wait : {1s, 2s, 4s, 8s, 16s, 32s, 64s, 128s, 150s, 150s}) {
    const auto fetch = schedule.next(now);
    REQUIRE(fetch);
    REQUIRE(schedule.failed(*fetch, now));
    REQUIRE(schedule.wake_at());
    CHECK(*schedule.wake_at() == now + wait);
    now = *schedule.wake_at();
  }
  CHECK(schedule.failures(id("a")) == 10);
}

TEST_CASE("a retry moves by at most a fifth in either direction") {
  for (std::uint64_t random = 0; random < 100; ++random) {
    CertificateSchedule schedule({}, [random] { return random; });
    schedule.add_user(id("a"), Priority::kWarmup);
    schedule.failed(*schedule.next(at(0s)), at(0s));
    CHECK(*schedule.wake_at() >= at(800ms));
    CHECK(*schedule.wake_at() <= at(1200ms));
  }
}

TEST_CASE("with a 30-second certificate in hand, five tries fit before it expires") {
  CertificateSchedule schedule({}, no_jitter);
  schedule.add_user(id("a"), Priority::kWarmup);
  schedule.fetched(*schedule.next(at(0s)), at(0s), 30s);
  int tries = 0;
  io::TimePoint now = *schedule.wake_at();
  while (now < at(30s)) {
    const auto fetch = schedule.next(now);
    REQUIRE(fetch);
    schedule.failed(*fetch, now);
    REQUIRE(*schedule.wake_at() >= now + 100ms);
    now = *schedule.wake_at();
    ++tries;
  }
  CHECK(tries >= 5);
}

TEST_CASE("when the wall clock is set forward, a refresh is due at once") {
  CertificateSchedule schedule({}, lowest);
  schedule.add_user(id("a"), Priority::kWarmup);
  schedule.fetched(*schedule.next(at(0s)), at(0s), 24h);
  for (const auto hour : {0h, 1h, 6h, 11h}) {
    schedule.observe(id("a"), at(hour), 24h - hour);
    CHECK(!schedule.next(at(hour)));
  }
  // Not when the wall clock was only read a moment after the other.
  schedule.observe(id("a"), at(0s), 24h - 1s);
  CHECK(!schedule.next(at(0s)));
  schedule.observe(id("a"), at(11h), 30min);
  CHECK(schedule.next(at(11h)));
}

TEST_CASE("somebody waiting shortens a long wait between retries to a second") {
  CertificateSchedule schedule({}, no_jitter);
  schedule.add_user(id("a"), Priority::kWarmup);
  io::TimePoint now = at(0s);
  for (int i = 0; i < 8; ++i) {
    schedule.failed(*schedule.next(now), now);
    now = *schedule.wake_at();
  }
  schedule.failed(*schedule.next(now), now);
  REQUIRE(*schedule.wake_at() == now + 150s);
  schedule.wanted_now(id("a"), now);
  CHECK(*schedule.wake_at() == now + 1s);
}

TEST_CASE("the last user takes the identity away, and a request under way then changes nothing") {
  CertificateSchedule schedule({}, lowest);
  schedule.add_user(id("a"), Priority::kWarmup);
  schedule.add_user(id("a"), Priority::kWarmup);
  const auto fetch = schedule.next(at(0s));
  CHECK(!schedule.remove_user(id("a")));
  CHECK(schedule.remove_user(id("a")));
  CHECK(!schedule.remove_user(id("a")));
  CHECK(schedule.running() == 1);
  CHECK(!schedule.fetched(*fetch, at(1s), 24h));
  CHECK(schedule.running() == 0);
  CHECK(schedule.size() == 0);
}

TEST_CASE("dropped and added again while a request runs: the new one asks for itself") {
  CertificateSchedule schedule({}, lowest);
  schedule.add_user(id("a"), Priority::kWarmup);
  const auto old_fetch = schedule.next(at(0s));
  schedule.remove_user(id("a"));
  schedule.add_user(id("a"), Priority::kWarmup);
  const auto new_fetch = schedule.next(at(0s));
  REQUIRE(new_fetch);
  CHECK(!schedule.fetched(*old_fetch, at(1s), 24h));
  CHECK(schedule.fetched(*new_fetch, at(1s), 24h));
}

}  // namespace
}  // namespace mesh::identity
