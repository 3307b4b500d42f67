// What stands for objects that cannot be read and never were good, as waypoints are told it.

#include <catch2/catch_test_macros.hpp>

#include "control/envoy/translate_for_tests.h"
#include "control/kubernetes/objects.h"
#include "mesh/manifest/json.h"
#include "mesh/xds/envoy_schema.h"

namespace mesh::control {
namespace {

using manifest::Kind;

// What the API server holds: a waypoint, a service behind it, a host outside.
class Bench {
 public:
  Bench() {
    put(Kind::kGateway, R"({"metadata": {"name": "wp", "namespace": "a"}, "spec":
        {"gatewayClassName": "weft-waypoint",
         "listeners": [{"name": "mesh", "port": 15008, "protocol": "HBONE"}]}})");
    put(Kind::kService, R"({"metadata": {"name": "web", "namespace": "a", "labels":
        {"istio.io/use-waypoint": "wp"}}, "spec": {"clusterIP": "10.96.0.1",
         "ports": [{"name": "http", "port": 80}, {"name": "tcp", "port": 90}]}})");
    put(Kind::kServiceEntry, R"({"metadata": {"name": "out", "namespace": "a", "labels":
        {"istio.io/use-waypoint": "wp"}}, "spec": {"hosts": ["out.example"], "resolution": "DNS",
         "addresses": ["240.0.0.1"],
         "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}]}})");
    CHECK(objects.problems().empty());
  }

  void put(Kind kind, std::string_view text) {
    auto value = manifest::read_json(text);
    REQUIRE(value);
    KubeObjects::Collection(objects, kind).put(*std::move(value));
  }

  WaypointConfig translate() {
    world = World(objects.objects());
    return translate_for_tests(world, Settings{}, "a", "wp");
  }

  KubeObjects objects;
  World world;
};

std::string shown(const WaypointConfig& config, EnvoyType type, std::string_view name) {
  return xds::to_json(std::string(xds::message_of(type_url(type))),
                      config.of(type).find(name)->second);
}

// Filters that deny everything.
std::size_t closed_chains(Bench& bench) {
  const std::string main = shown(bench.translate(), EnvoyType::kListener, "main_internal");
  std::size_t found = 0;
  for (auto at = main.find(R"("closed":{)"); at != std::string::npos;
       at = main.find(R"("closed":{)", at + 1)) {
    ++found;
  }
  return found;
}

std::string tokens(std::string_view ns, std::string_view targets, std::string_view rule = "") {
  return R"({"metadata": {"name": "r", "namespace": ")" + std::string(ns) + R"("}, "spec": {)" +
         std::string(targets) + R"("jwtRules": [{"issuer": "i")" + std::string(rule) + "}]}}";
}

constexpr const char* kWeb = R"("targetRefs": [{"group": "", "kind": "Service", "name": "web"}],)";
constexpr const char* kBoth =
    R"("targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "wp"}],)";
constexpr const char* kBad = R"(, "jwksUri": "ftp://keys.example")";

}  // namespace

TEST_CASE("HTTP to what a RequestAuthentication that never was good is for is denied") {
  Bench bench;
  CHECK(closed_chains(bench) == 0);
  // A good one of another service's: nothing is closed, and later, when it breaks, neither.
  bench.put(Kind::kRequestAuthentication, tokens("a", kWeb));
  CHECK(closed_chains(bench) == 0);
  bench.put(Kind::kRequestAuthentication, tokens("a", kWeb, kBad));
  CHECK(bench.objects.problems().size() == 1);
  CHECK(closed_chains(bench) == 0);
}

TEST_CASE("its targets are closed, or all of its namespace when they cannot be read") {
  Bench bench;
  std::size_t service = 0, all = 0;
  bench.put(Kind::kRequestAuthentication, tokens("a", kWeb, kBad));
  service = closed_chains(bench);
  CHECK(service > 0);
  CHECK(bench.objects.statuses()
            .at({Kind::kRequestAuthentication, "a", "r"})
            .in_force.contains("denied"));
  bench.put(Kind::kRequestAuthentication, tokens("a", kBoth, kBad));
  all = closed_chains(bench);
  CHECK(all > service);
  bench.put(Kind::kRequestAuthentication, tokens("a", R"("targetRefs": "web",)", kBad));
  CHECK(closed_chains(bench) == all);
  // One of another namespace is for nothing here; nor is one that no waypoint would ask.
  bench.put(Kind::kRequestAuthentication,
            tokens("a", R"("selector": {"matchLabels": {"app": "web"}},)", kBad));
  bench.put(Kind::kRequestAuthentication, tokens("b", kWeb, kBad));
  CHECK(closed_chains(bench) == 0);
  // A mended one checks tokens.
  bench.put(Kind::kRequestAuthentication, tokens("a", kWeb, kBad));
  bench.put(Kind::kRequestAuthentication, tokens("a", kWeb));
  CHECK(closed_chains(bench) == 0);
}

TEST_CASE("a host whose DestinationRule asks for TLS and never was good is not called at all") {
  const auto rule = [](std::string_view policy) {
    return R"({"metadata": {"name": "d", "namespace": "a"}, "spec": {"host": "out.example",
        "trafficPolicy": )" +
           std::string(policy) + "}}";
  };
  const auto outside = [](Bench& bench) {
    const WaypointConfig config = bench.translate();
    for (const auto& [name, bytes] : config.of(EnvoyType::kCluster)) {
      if (name.contains("out.example")) return shown(config, EnvoyType::kCluster, name);
    }
    FAIL("no cluster");
    return std::string();
  };
  Bench bench;
  CHECK(outside(bench).contains("STRICT_DNS"));
  bench.put(Kind::kDestinationRule, rule(R"({"tls": {"mode": "SIMPLE"}, "proxyProtocol": {}})"));
  CHECK_FALSE(outside(bench).contains("STRICT_DNS"));
  CHECK_FALSE(outside(bench).contains("lbEndpoints"));
  CHECK(bench.translate().notes.size() == 1);
  // In a port's settings, too.
  Bench other;
  other.put(Kind::kDestinationRule, rule(R"({"proxyProtocol": {}, "portLevelSettings":
      [{"port": {"number": 80}, "tls": {"mode": "MUTUAL"}}]})"));
  CHECK_FALSE(outside(other).contains("STRICT_DNS"));
  // The mesh's own TLS: no plaintext either, and tunnels go on.
  Bench mesh;
  mesh.put(Kind::kDestinationRule,
           rule(R"({"tls": {"mode": "ISTIO_MUTUAL"}, "proxyProtocol": {}})"));
  CHECK_FALSE(outside(mesh).contains("STRICT_DNS"));
  CHECK_FALSE(outside(mesh).contains("lbEndpoints"));
  REQUIRE(mesh.world.all<manifest::DestinationRule>().size() == 1);
  CHECK_FALSE(mesh.world.all<manifest::DestinationRule>()[0]->closed);
  // One that asks for none is left out.
  Bench open;
  open.put(Kind::kDestinationRule, rule(R"({"tls": {"mode": "DISABLE"}, "proxyProtocol": {}})"));
  CHECK(outside(open).contains("STRICT_DNS"));
  CHECK(open.world.all<manifest::DestinationRule>().empty());
}

TEST_CASE("waypoints do not call the host of a ServiceEntry that never was good") {
  const auto told = [](std::string_view address) {
    Bench bench;
    bench.put(Kind::kServiceEntry,
              R"({"metadata": {"name": "far", "namespace": "a"}, "spec": {"hosts": ["far.example"],
        "resolution": "DNS", "addresses": [")" +
                  std::string(address) + R"("],
        "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}]}})");
    bench.put(Kind::kVirtualService, R"({"metadata": {"name": "v", "namespace": "a"}, "spec":
        {"hosts": ["web"], "http": [
        {"match": [{"uri": {"prefix": "/a"}}], "route": [{"destination": {"host": "far.example"}}]},
        {"route": [{"destination": {"host": "far.example", "port": {"number": 80}}}]}]}})");
    const WaypointConfig config = bench.translate();
    std::string clusters;
    for (const auto& [name, bytes] : config.of(EnvoyType::kCluster)) {
      if (name.contains("far.example")) clusters += shown(config, EnvoyType::kCluster, name);
    }
    return clusters;
  };
  CHECK(told("240.0.0.2").contains("STRICT_DNS"));
  CHECK_FALSE(told("240.0.0.2/33").contains("STRICT_DNS"));
}

}  // namespace mesh::control
