#include "mesh/workload/load_balance.h"

#include <map>
#include <thread>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include "test/support/directory_text.h"

namespace mesh::workload {
namespace {

using test::directory;
using test::ip;

constexpr std::string_view kService = "s.example";

// Whom `draws` random numbers, spread evenly, choose how often: "a:8080" -> times.
std::map<std::string, int> chosen(std::string_view text, std::uint16_t port = 80, int draws = 64,
                                  std::string_view caller = "caller") {
  const DirectoryPtr given = directory(text);
  const Service* service = given->find_service("shop", kService);
  const Workload* from = given->find_workload("K//Pod/shop/" + std::string(caller));
  const Place place = from != nullptr ? Place::of(*from) : Place{};
  std::map<std::string, int> result;
  for (int i = 0; i < draws; ++i) {
    const std::uint64_t step = ~0ULL / static_cast<std::uint64_t>(draws);
    const std::uint64_t random = static_cast<std::uint64_t>(i) * step + step / 2;
    const Result<Choice> choice = choose_endpoint(*given, *service, port, place, random);
    if (!choice) {
      CHECK(choice.error().reason == Reason::kNoEndpoint);
      ++result["nobody"];
    } else {
      ++result[choice->workload->name + ":" + std::to_string(choice->target_port)];
    }
  }
  return result;
}
using Times = std::map<std::string, int>;

TEST_CASE("endpoints are chosen at random, weighted by capacity") {
  CHECK(chosen(R"(
    service shop/s.example 10.96.0.1 ports=80
    pod shop/a 10.0.0.1 services=shop/s.example:80>8080
    pod shop/b 10.0.0.2 services=shop/s.example:80>8081 capacity=3
    pod shop/c 10.0.0.3 services=shop/s.example:80>8082 capacity=0
  )") == Times{{"a:8080", 16}, {"b:8081", 48}});
}

TEST_CASE("who may be chosen") {
  struct Row {
    std::string_view service;
    std::string_view pod;
    std::string_view expected;
  };
  const auto row = GENERATE(values<Row>({
      // health
      {"ports=80>8080", "10.0.0.1", "a:8080"},
      {"ports=80>8080", "10.0.0.1 unhealthy", "nobody"},
      {"ports=80>8080 health=all", "10.0.0.1 unhealthy", "a:8080"},
      // the port: the endpoint's, else the service's, else the application tunnel's
      {"ports=80>8080", "10.0.0.1 PORTS=80>9090", "a:9090"},
      {"ports=80", "10.0.0.1 PORTS=80>9090", "a:9090"},
      {"ports=80", "10.0.0.1", "nobody"},
      {"ports=81>8080", "10.0.0.1", "nobody"},
      {"ports=80", "10.0.0.1 tunnel=15088", "a:15088"},
      // reachable
      {"ports=80>8080", "-", "nobody"},
      {"ports=80>8080", "- hostname=vm.example", "a:8080"},
      {"ports=80>8080", "- network=far", "nobody"},
      {"ports=80>8080", "- network=far gateway=10.9.9.9", "a:8080"},
      {"ports=80>8080", "- gateway=10.9.9.9", "nobody"},
  }));
  INFO(row.service << " / " << row.pod);
  std::string pod(row.pod);
  std::string ports;
  if (const std::size_t at = pod.find(" PORTS="); at != pod.npos) {
    ports = pod.substr(at + 7);
    pod.resize(at);
  }
  const std::string text = "service shop/s.example 10.96.0.1 " + std::string(row.service) +
                           "\npod shop/a " + pod + " services=shop/s.example:" + ports;
  CHECK(chosen(text, 80, 1) == Times{{std::string(row.expected), 1}});
}

constexpr std::string_view kPlaces = R"(
    pod shop/caller 10.0.0.9 region=r1 zone=z1 node=n1
    pod shop/same 10.0.0.1 region=r1 zone=z1 node=n1 services=shop/s.example:80>1
    pod shop/zone 10.0.0.2 region=r1 zone=z1 node=n2 services=shop/s.example:80>1
    pod shop/region 10.0.0.3 region=r1 zone=z2 node=n3 services=shop/s.example:80>1
    pod shop/far 10.0.0.4 region=r2 zone=z1 node=n1 services=shop/s.example:80>1
)";

TEST_CASE("preferences count from the first until one does not hold") {
  struct Row {
    std::string_view balancing;
    Times expected;
  };
  const auto row = GENERATE(values<Row>({
      {"", {{"same:1", 16}, {"zone:1", 16}, {"region:1", 16}, {"far:1", 16}}},
      // kStandard looks at no preference
      {"prefer=region,zone", {{"same:1", 16}, {"zone:1", 16}, {"region:1", 16}, {"far:1", 16}}},
      {"lb=failover prefer=region,zone", {{"same:1", 32}, {"zone:1", 32}}},
      {"lb=failover prefer=region,zone,node", {{"same:1", 64}}},
      // far is on the same node, but that does not count: its region is another
      {"lb=failover prefer=node,region", {{"same:1", 64}}},
      {"lb=strict prefer=region", {{"same:1", 22}, {"zone:1", 21}, {"region:1", 21}}},
      {"lb=strict prefer=region,zone,node", {{"same:1", 64}}},
      {"lb=strict prefer=subzone,cluster,network",
       {{"same:1", 16}, {"zone:1", 16}, {"region:1", 16}, {"far:1", 16}}},
  }));
  INFO(row.balancing);
  Times got = chosen("service shop/s.example 10.96.0.1 ports=80 " + std::string(row.balancing) +
                     "\n" + std::string(kPlaces));
  REQUIRE(got.size() == row.expected.size());
  for (const auto& [name, times] : row.expected) {
    INFO(name);
    CHECK(std::abs(got[name] - times) <= 1);
  }
}

TEST_CASE("strict mode without a member that has every preference chooses nobody") {
  CHECK(chosen("service shop/s.example 10.96.0.1 ports=80 lb=strict prefer=zone,node\n"
               "pod shop/caller 10.0.0.9 zone=z1 node=n1\n"
               "pod shop/a 10.0.0.1 zone=z1 node=n2 services=shop/s.example:80>1",
               80, 1) == Times{{"nobody", 1}});
}

TEST_CASE("failover takes the next best when the best is unhealthy") {
  CHECK(chosen("service shop/s.example 10.96.0.1 ports=80 lb=failover prefer=zone,node\n"
               "pod shop/caller 10.0.0.9 zone=z1 node=n1\n"
               "pod shop/best 10.0.0.1 zone=z1 node=n1 unhealthy services=shop/s.example:80>1\n"
               "pod shop/next 10.0.0.2 zone=z1 node=n2 services=shop/s.example:80>1\n"
               "pod shop/far 10.0.0.3 zone=z2 node=n3 services=shop/s.example:80>1") ==
        Times{{"next:1", 64}});
}

// A service with so many members that they are not walked for each connection.
struct Crowd {
  explicit Crowd(std::string_view service_fields) {
    text = "service shop/s.example 10.96.0.1 ports=80>8080 " + std::string(service_fields) + "\n";
    for (int i = 0; i < 100; ++i) add(i, "");
    now = directory(text);
  }
  void add(int i, std::string_view more) {
    const std::string n = std::to_string(i);
    text += "pod shop/p" + n + " 10.0.1." + n + " region=r" + std::to_string(i % 2) + " zone=z" +
            std::to_string(i % 4) + " capacity=" + std::to_string(1 + i % 3) +
            (i % 5 == 0 ? " unhealthy" : "") + " services=shop/s.example: " + std::string(more) +
            "\n";
  }
  // How often each is chosen, by name.
  Times times(const Place& caller, int draws = 6000) const {
    const Service* service = now->find_service("shop", kService);
    Times result;
    for (int i = 0; i < draws; ++i) {
      const auto random = static_cast<std::uint64_t>(i) * (~0ULL / static_cast<unsigned>(draws));
      const auto choice = choose_endpoint(*now, *service, 80, caller, random);
      ++result[choice ? choice->workload->name : "nobody"];
    }
    return result;
  }
  void change(std::string_view more) { now = test::next(now, more); }
  std::string text;
  DirectoryPtr now;
};

TEST_CASE("among many: the same ones, as often as their capacity says") {
  const Crowd crowd("lb=failover prefer=region,zone");
  const Place here{.region = "r1", .zone = "z3"};
  for (int round = 0; round < 2; ++round) {  // the first one finds no table
    const Times times = crowd.times(here);
    int weight = 0;
    for (int i = 3; i < 100; i += 4) weight += i % 5 == 0 ? 0 : 1 + i % 3;
    for (int i = 0; i < 100; ++i) {
      INFO(i);
      const auto found = times.find("p" + std::to_string(i));
      if (i % 4 != 3 || i % 5 == 0) {
        CHECK(found == times.end());
        continue;
      }
      REQUIRE(found != times.end());
      CHECK(std::abs(found->second - 6000 * (1 + i % 3) / weight) <= 2);
    }
  }
  // Whoever asks from elsewhere has an answer of his own.
  CHECK(crowd.times({.region = "r0", .zone = "z0"}).contains("p4"));
  CHECK_FALSE(crowd.times({.region = "r0", .zone = "z0"}).contains("p3"));
  CHECK(crowd.times({.region = "far"}).size() == 80);
}

TEST_CASE("among many: what changes in members or service is seen at once") {
  Crowd crowd("");
  CHECK(crowd.times({}).size() == 80);
  crowd.change("pod shop/p1 10.0.1.1 unhealthy services=shop/s.example:");
  CHECK_FALSE(crowd.times({}).contains("p1"));
  crowd.change("remove K//Pod/shop/p2");
  CHECK_FALSE(crowd.times({}).contains("p2"));
  CHECK(crowd.times({}).size() == 78);
  crowd.change("service shop/s.example 10.96.0.1 ports=80>8080 health=all");
  CHECK(crowd.times({}).size() == 99);
  crowd.change("service shop/s.example 10.96.0.1 ports=81>8080 health=all");
  CHECK(crowd.times({}) == Times{{"nobody", 6000}});
  crowd.change("service shop/s.example 10.96.0.1 ports=80>9090");
  const Service* service = crowd.now->find_service("shop", kService);
  CHECK(choose_endpoint(*crowd.now, *service, 80, {}, 7)->target_port == 9090);
}

TEST_CASE("limit: tables of a service's members; beyond it they are walked, with the same answer") {
  const Crowd crowd("lb=failover prefer=zone");
  std::vector<Times> answers;
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 2 * static_cast<int>(EndpointSet::kTablesMax); ++i) {
      const std::string node = "node" + std::to_string(i);
      const Times times = crowd.times({.node = node, .zone = "z1"}, 600);
      answers.push_back(times);
      CHECK(times == answers.front());
    }
  }
  CHECK_FALSE(crowd.now->endpoints({"shop", kService})->has_room_for_table());
}

TEST_CASE("many threads may ask for the first time at once") {
  const Crowd crowd("lb=failover prefer=zone");
  std::vector<Times> answers(4);
  {
    std::vector<std::jthread> threads;
    for (Times& answer : answers) {
      threads.emplace_back([&] {
        for (int i = 0; i < 20; ++i) {
          const std::string node = "node" + std::to_string(i);
          answer = crowd.times({.node = node, .zone = "z1"}, 300);
        }
      });
    }
  }
  for (const Times& answer : answers) CHECK(answer == answers.front());
}

TEST_CASE("waypoints are sampled by weight") {
  const auto times = [](std::string_view fields) {
    const ServicePtr service = test::service("shop/s.example 10.96.0.1 " + std::string(fields));
    Times result;
    for (int i = 0; i < 100; ++i) {
      const GatewayAddress* one =
          choose_waypoint(*service, static_cast<std::uint64_t>(i) * (~0ULL / 100));
      ++result[one != nullptr ? std::get<ServiceKey>(one->destination).hostname : "none"];
    }
    return result;
  };
  CHECK(times("") == Times{{"none", 100}});
  CHECK(times("waypoint=shop/w") == Times{{"w", 100}});
  CHECK(times("waypoint=shop/w weighted=shop/a*0,shop/b*0") == Times{{"w", 100}});
  const Times split = times("waypoint=shop/w weighted=shop/a*10,shop/b*90");
  CHECK(split.size() == 2);
  CHECK(std::abs(split.at("a") - 10) <= 1);
}

TEST_CASE("the address is the dialled one, else one of its family that the service allows") {
  const auto address = [](std::string_view pod, std::string_view families,
                          std::string_view dialled) {
    const ServicePtr service =
        families.empty() ? nullptr
                         : test::service("shop/s.example - families=" + std::string(families));
    const auto found =
        choose_address(*test::pod("shop/a " + std::string(pod)), service.get(), ip(dialled));
    return found ? found->to_string() : "none";
  };
  CHECK(address("10.0.0.1,10.0.0.2", "", "10.0.0.2") == "10.0.0.2");
  CHECK(address("10.0.0.1,fd00::1", "dual", "fd00::96") == "fd00::1");
  CHECK(address("fd00::1,10.0.0.1", "dual", "10.96.0.1") == "10.0.0.1");
  CHECK(address("10.0.0.1,fd00::1", "v4", "fd00::96") == "10.0.0.1");
  CHECK(address("fd00::1", "v4", "10.96.0.1") == "none");
  CHECK(address("fd00::1", "", "10.96.0.1") == "fd00::1");
  CHECK(address("-", "", "10.96.0.1") == "none");
}

}  // namespace
}  // namespace mesh::workload
