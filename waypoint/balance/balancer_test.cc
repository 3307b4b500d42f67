#include "waypoint/balance/balancer.h"

#include <cmath>
#include <map>
#include <string>

#include <catch2/catch_test_macros.hpp>

#include "waypoint/http/xxhash.h"

namespace mesh::waypoint::balance {
namespace {

using namespace std::chrono_literals;
using Policy = config::LoadBalancing::Policy;

struct Group {
  std::uint32_t priority = 0;
  std::uint32_t weight = 1;
  std::vector<std::uint32_t> weights = {};  // of its hosts
};

// Hosts 10.0.0.0, 10.0.0.1, … in the order of the groups, all healthy.
config::EndpointsPtr endpoints(const std::vector<Group>& groups) {
  auto made = std::make_shared<config::Endpoints>();
  for (const Group& group : groups) {
    made->groups.push_back({.priority = group.priority,
                            .weight = group.weight,
                            .first = static_cast<std::uint32_t>(made->all.size()),
                            .count = static_cast<std::uint32_t>(group.weights.size())});
    for (const std::uint32_t weight : group.weights) {
      const auto last = static_cast<std::uint8_t>(made->all.size());
      made->all.push_back({.address = {net::IpAddress::v4({10, 0, 0, last}), 80},
                           .health = config::Endpoint::Health::kHealthy,
                           .weight = weight,
                           .group = static_cast<std::uint32_t>(made->groups.size() - 1)});
    }
    made->priorities = std::max(made->priorities, group.priority + 1);
  }
  return made;
}

std::map<std::uint32_t, int> draw(Balancer& balancer, Hosts& hosts, int times, http::Dice& dice) {
  std::map<std::uint32_t, int> counts;
  for (int i = 0; i < times; ++i) {
    const auto host = balancer.pick(hosts, {.now = 1h}, dice);
    if (host) ++counts[*host];
  }
  return counts;
}

bool near(double counted, double expected, double times) {
  const double p = expected / times;
  return std::abs(counted - expected) <= 5 * std::sqrt(times * p * (1 - p)) + 1;
}

TEST_CASE("equal hosts get equal shares, whatever the policy") {
  for (const Policy policy : {Policy::kRoundRobin, Policy::kLeastRequest, Policy::kRandom,
                              Policy::kPeakEwma, Policy::kMaglev}) {
    for (std::uint64_t seed = 0; seed < 10; ++seed) {
      Hosts hosts(endpoints({{.weights = {1, 1, 1, 1}}}), 0ns);
      Balancer balancer({.policy = policy});
      http::Dice dice(seed);
      const auto counts = draw(balancer, hosts, 4'000, dice);
      INFO(static_cast<int>(policy) << " seed " << seed);
      for (std::uint32_t host = 0; host < 4; ++host) CHECK(near(counts.at(host), 1'000, 4'000));
    }
  }
}

TEST_CASE("weights are kept, by those policies that look at them") {
  for (const Policy policy : {Policy::kRoundRobin, Policy::kLeastRequest, Policy::kMaglev}) {
    Hosts hosts(endpoints({{.weights = {1, 2, 5}}}), 0ns);
    Balancer balancer({.policy = policy});
    http::Dice dice(1);
    const auto counts = draw(balancer, hosts, 8'000, dice);
    INFO(static_cast<int>(policy));
    CHECK(near(counts.at(0), 1'000, 8'000));
    CHECK(near(counts.at(1), 2'000, 8'000));
    CHECK(near(counts.at(2), 5'000, 8'000));
  }
}

TEST_CASE("round robin goes round, and spreads weights evenly") {
  Hosts hosts(endpoints({{.weights = {1, 1, 1}}}), 0ns);
  Balancer balancer({.policy = Policy::kRoundRobin});
  http::Dice dice(1);
  const auto first = *balancer.pick(hosts, {}, dice);
  for (std::uint32_t i = 1; i < 9; ++i) CHECK(*balancer.pick(hosts, {}, dice) == (first + i) % 3);

  Hosts weighted(endpoints({{.weights = {1, 3}}}), 0ns);
  Balancer other({.policy = Policy::kRoundRobin});
  int in_a_row = 0;
  for (int i = 0; i < 400; ++i) {
    in_a_row = *other.pick(weighted, {}, dice) == 1 ? in_a_row + 1 : 0;
    CHECK(in_a_row <= 4);  // deadlines are doubles: two may be one step off
  }
}

TEST_CASE("least request prefers the idle") {
  Hosts hosts(endpoints({{.weights = {1, 1}}}), 0ns);
  hosts.state(0).active = 10;
  Balancer balancer({.policy = Policy::kLeastRequest});
  http::Dice dice(1);
  const auto counts = draw(balancer, hosts, 4'000, dice);
  // The busy one is taken only if both choices fall on it.
  CHECK(near(counts.at(0), 1'000, 4'000));

  Hosts weighted(endpoints({{.weights = {1, 2}}}), 0ns);
  weighted.state(1).active = 3;
  Balancer other({.policy = Policy::kLeastRequest});
  const auto shares = draw(other, weighted, 3'000, dice);
  CHECK(near(shares.at(0), 2'000, 3'000));  // 1/1 against 2/4
}

TEST_CASE("peak EWMA prefers the fast, and notices at once who becomes slow") {
  Hosts hosts(endpoints({{.weights = {1, 1}}}), 0ns);
  hosts.state(0).latency.observe(100ms, 1h);
  hosts.state(1).latency.observe(10ms, 1h);
  Balancer balancer({.policy = Policy::kPeakEwma});
  http::Dice dice(1);
  CHECK(draw(balancer, hosts, 4'000, dice).at(1) > 2'800);
  hosts.state(1).latency.observe(1s, 1h);
  CHECK(draw(balancer, hosts, 4'000, dice).at(0) > 2'800);

  PeakEwma ewma;
  ewma.observe(100ms, 0s);
  ewma.observe(10ms, 10s);
  const double expected = 1e8 * std::exp(-1) + 1e7 * (1 - std::exp(-1));
  CHECK(std::abs(ewma.value(10s) - expected) < 1);
  ewma.observe(200ms, 10s);
  CHECK(ewma.value(10s) == 2e8);
}

TEST_CASE("a ring moves only the share of the host that goes") {
  for (const Policy policy : {Policy::kRingHash, Policy::kMaglev}) {
    const auto all = endpoints({{.weights = std::vector<std::uint32_t>(10, 1)}});
    Hosts hosts(all, 0ns);
    Balancer balancer({.policy = policy});
    http::Dice dice(1);
    std::map<int, std::uint32_t> before;
    std::map<std::uint32_t, int> counts;
    for (int i = 0; i < 5'000; ++i) {
      const auto hash = http::xxhash64(std::to_string(i));
      before[i] = *balancer.pick(hosts, {.hash = hash}, dice);
      CHECK(before[i] == *balancer.pick(hosts, {.hash = hash}, dice));
      ++counts[before[i]];
    }
    for (const auto& [host, count] : counts) CHECK((count > 250 && count < 850));
    hosts.set_ejected(hosts.state(3).key, true, 0ns);
    int moved = 0;
    for (int i = 0; i < 5'000; ++i) {
      const auto host = *balancer.pick(hosts, {.hash = http::xxhash64(std::to_string(i))}, dice);
      CHECK(host != 3);
      if (host != before[i]) ++moved;
    }
    // Fewer hosts have more entries each, and so a few others move, too.
    CHECK(moved - counts[3] < 500);
  }
}

TEST_CASE("a ring has as many entries as weights and limits ask for") {
  const std::vector<WeightedKey> even = {{0, 1, "a"}, {1, 1, "b"}};
  CHECK(Ring(even, 1'024, 1'048'576).size() == 1'024);
  const std::vector<WeightedKey> uneven = {{0, 1, "a"}, {1, 9'999, "b"}};
  CHECK(Ring(uneven, 1'024, 1'048'576).size() == 10'000);
  CHECK(Ring(uneven, 1'024, 2'000).size() == 2'000);
  CHECK(Ring({}, 1'024, 2'000).empty());
  CHECK(is_prime(65'537));
  CHECK_FALSE(is_prime(65'536));
}

TEST_CASE("hosts of earlier tries are avoided while there are attempts") {
  for (const Policy policy : {Policy::kRoundRobin, Policy::kLeastRequest, Policy::kRingHash}) {
    Hosts hosts(endpoints({{.weights = {1, 1, 1}}}), 0ns);
    Balancer balancer({.policy = policy});
    http::Dice dice(1);
    const std::vector<std::string> avoid = {hosts.state(0).key, hosts.state(1).key};
    int avoided = 0;
    for (std::uint64_t i = 0; i < 300; ++i) {
      const auto hash = http::xxhash64(std::to_string(i));
      avoided += *balancer.pick(hosts, {.hash = hash, .avoid = avoid, .attempts = 20}, dice) == 2;
    }
    INFO(static_cast<int>(policy));
    CHECK(avoided > 290);
    // Better a host of before than none.
    hosts.set_ejected(hosts.state(2).key, true, 0ns);
    CHECK(balancer.pick(hosts, {.avoid = avoid, .attempts = 5}, dice).has_value());
  }
}

TEST_CASE("a lower priority takes what the first cannot") {
  Hosts hosts(endpoints({{.weights = {1, 1, 1, 1}}, {.priority = 1, .weights = {1, 1}}}), 0ns);
  Balancer balancer({.policy = Policy::kRandom});
  http::Dice dice(1);
  const auto first = draw(balancer, hosts, 1'000, dice);
  CHECK(first.lower_bound(4) == first.end());
  hosts.set_ejected(hosts.state(0).key, true, 0ns);
  draw(balancer, hosts, 1, dice);
  CHECK(balancer.loads()[0].healthy == 100);  // 3 of 4, times 1.4
  hosts.set_ejected(hosts.state(1).key, true, 0ns);
  const auto counts = draw(balancer, hosts, 10'000, dice);
  CHECK(balancer.loads()[0].healthy == 70);
  CHECK(balancer.loads()[1].healthy == 30);
  CHECK(near(counts.at(4) + counts.at(5), 3'000, 10'000));
}

TEST_CASE("in panic everybody is asked, and without panic nobody") {
  Hosts hosts(endpoints({{.weights = {1, 1, 1, 1}}}), 0ns);
  for (std::uint32_t host = 0; host < 3; ++host)
    hosts.set_ejected(hosts.state(host).key, true, 0ns);
  http::Dice dice(1);
  Balancer panics({.policy = Policy::kRandom});
  CHECK(draw(panics, hosts, 1'000, dice).size() == 4);
  Balancer calm({.policy = Policy::kRandom, .panic_threshold = 0});
  CHECK(draw(calm, hosts, 1'000, dice).size() == 1);
  Balancer fails({.policy = Policy::kRandom, .fail_in_panic = true});
  CHECK(draw(fails, hosts, 1'000, dice).empty());
  hosts.set_ejected(hosts.state(3).key, true, 0ns);
  CHECK_FALSE(calm.pick(hosts, {}, dice).has_value());
  CHECK(panics.pick(hosts, {}, dice).has_value());
  Hosts none(endpoints({}), 0ns);
  Balancer empty({.policy = Policy::kRandom});
  CHECK_FALSE(empty.pick(none, {}, dice).has_value());
}

TEST_CASE("localities share by weight, less what is unhealthy in them") {
  Hosts hosts(endpoints({{.weight = 1, .weights = {1, 1}},
                         {.weight = 3, .weights = {1, 1}},
                         {.weight = 0, .weights = {1}}}),
              0ns);
  Balancer balancer({.policy = Policy::kRandom, .locality_weighted = true});
  http::Dice dice(1);
  auto counts = draw(balancer, hosts, 8'000, dice);
  CHECK(near(counts[0] + counts[1], 2'000, 8'000));
  CHECK_FALSE(counts.contains(4));
  hosts.set_ejected(hosts.state(2).key, true, 0ns);
  counts = draw(balancer, hosts, 8'000, dice);
  CHECK(near(counts[3], 8'000 * 2.1 / 3.1, 8'000));  // 3 * 1.4 * 1/2
}

TEST_CASE("degraded hosts help only when the healthy are too few") {
  auto made = std::make_shared<config::Endpoints>(*endpoints({{.weights = {1, 1, 1, 1}}}));
  made->all[3].health = config::Endpoint::Health::kDegraded;
  Hosts hosts(made, 0ns);
  Balancer balancer({.policy = Policy::kRandom});
  http::Dice dice(1);
  CHECK_FALSE(draw(balancer, hosts, 1'000, dice).contains(3));
  hosts.set_ejected(hosts.state(0).key, true, 0ns);
  hosts.set_ejected(hosts.state(1).key, true, 0ns);
  const auto counts = draw(balancer, hosts, 10'000, dice);
  // 35 % and 35 % of what is there, made whole.
  CHECK(near(counts.at(3), 5'000, 10'000));
}

TEST_CASE("a new host starts slowly") {
  const auto one = endpoints({{.weights = {1}}});
  Hosts hosts(one, 0ns);
  hosts.update(endpoints({{.weights = {1, 1}}}), 100s);
  Balancer balancer({.policy = Policy::kRoundRobin, .slow_start = {.window = 100s}});
  http::Dice dice(1);
  const auto share = [&](Time now) {
    int second = 0;
    for (int i = 0; i < 1'100; ++i)
      second += *balancer.pick(hosts, {.now = now}, dice) == 1 ? 1 : 0;
    return second;
  };
  CHECK(std::abs(share(100s) - 100) < 10);  // 10 % of the other's
  CHECK(std::abs(share(150s) - 367) < 20);  // half
  CHECK(std::abs(share(200s) - 550) < 10);
}

TEST_CASE("state stays with its host when hosts come and go") {
  Hosts hosts(endpoints({{.weights = {1, 1, 1}}}), 0ns);
  const HostStatePtr second = hosts.share(1);
  second->active = 7;
  auto fewer = std::make_shared<config::Endpoints>(*endpoints({{.weights = {1, 1, 1}}}));
  fewer->all.erase(fewer->all.begin());
  fewer->groups[0].count = 2;
  hosts.update(fewer, 1s);
  CHECK(hosts.size() == 2);
  CHECK(hosts.state(0).active == 7);
  CHECK(hosts.find("10.0.0.1:80") == 0);
  CHECK_FALSE(hosts.find("10.0.0.0:80").has_value());
}

}  // namespace
}  // namespace mesh::waypoint::balance
