// Configuring waypoints change by change comes to what configuring them anew does, and its work
// follows the change.

#include "control/envoy/waypoint_cache.h"

#include <catch2/catch_test_macros.hpp>

#include <array>
#include <random>
#include <set>

#include "control/translation.h"
#include "mesh/manifest/mesh_config.h"
#include "mesh/manifest/parse.h"

namespace mesh::control {
namespace {

std::shared_ptr<const manifest::Object> object(const std::string& yaml) {
  manifest::Parsed parsed = manifest::parse("m.yaml", yaml);
  INFO(yaml);
  for (const auto& problem : parsed.problems) UNSCOPED_INFO(problem.to_string());
  REQUIRE(parsed.objects.size() == 1);
  return std::make_shared<const manifest::Object>(std::move(parsed.objects[0].object));
}

std::string head(const char* api, const char* kind, const std::string& ns, const std::string& name,
                 const std::string& labels = "x: y") {
  return std::string("apiVersion: ") + api + "\nkind: " + kind + "\nmetadata: {name: " + name +
         (ns.empty() ? "" : ", namespace: " + ns) + ", labels: {" + labels + "}}\n";
}

// What a waypoint's configuration is made of, at random, with names that meet one another.
class Chance {
 public:
  explicit Chance(unsigned seed) : random_(seed) {}

  unsigned below(unsigned limit) { return static_cast<unsigned>(random_()) % limit; }
  bool one_in(unsigned n) { return below(n) == 0; }
  std::string pick(std::initializer_list<const char*> from) {
    return *(from.begin() + below(static_cast<unsigned>(from.size())));
  }

  std::string any() {
    switch (below(14)) {
      case 0:
        return head("v1", "Namespace", "", ns(), "istio.io/dataplane-mode: ambient" + waypoint());
      case 1:
      case 2:
      case 3:
        return pod();
      case 4:
      case 5:
        return service();
      case 6:
        return head("gateway.networking.k8s.io/v1", "Gateway", ns(), "wp",
                    pick({"x: y", "istio.io/waypoint-for: all"}) + processor()) +
               "spec: {gatewayClassName: weft-waypoint, listeners: [{name: mesh, port: 15008, "
               "protocol: HBONE, allowedRoutes: {namespaces: {from: " +
               pick({"Same", "All"}) + "}}}]}\n";
      case 7:
        return head("gateway.networking.k8s.io/v1", "HTTPRoute", ns(), pick({"r1", "r2"}),
                    pick({"x: y", "x: y}, annotations: {weft.dev/rate-limit: limits path"})) +
               "spec: {parentRefs: [{group: '', kind: Service, name: " + name() + in_ns() +
               "}], rules: [{matches: [{path: {value: /" + pick({"a", "b"}) +
               "}}], backendRefs: [{name: " + name() + in_ns() + ", port: 80}]}]}\n";
      case 8:
        return head("gateway.networking.k8s.io/v1beta1", "ReferenceGrant", ns(), "g") +
               "spec: {from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: " +
               ns() + "}], to: [{group: '', kind: Service}]}\n";
      case 9:
        return head("networking.istio.io/v1", "DestinationRule", ns(), pick({"d1", "d2"})) +
               "spec: {host: " + host() + ", subsets: [{name: v1, labels: {app: x}}], " +
               "trafficPolicy: {loadBalancer: {simple: " + pick({"RANDOM", "LEAST_REQUEST"}) + "}" +
               pick({"", ", tls: {mode: ISTIO_MUTUAL}"}) + "}}\n";
      case 10:
        return head("networking.istio.io/v1", "VirtualService", ns(), pick({"v1", "v2"})) +
               "spec: {hosts: [" + host() + "], http: [{route: [{destination: {host: " + host() +
               ", port: {number: 80}}}]}]}\n";
      case 11:
        return head("security.istio.io/v1", "AuthorizationPolicy", ns(), pick({"p1", "p2"})) +
               "spec: {action: " + pick({"ALLOW", "DENY"}) + ", targetRefs: [" + target() +
               "], rules: [{from: [{source: {namespaces: [" + ns() + "]}}]}]}\n";
      case 12:
        return head("security.istio.io/v1", "RequestAuthentication", ns(), "q") +
               "spec: {targetRefs: [" + target() + "], jwtRules: [{issuer: " + pick({"i", "j"}) +
               ", jwks: '{\"keys\":[]}'}]}\n";
      default:
        return entry();
    }
  }

  std::string service() {
    return head("v1", "Service", ns(), name(), "x: y" + waypoint() + processor()) +
           "spec: {selector: {app: " + pick({"x", "y", "w"}) + "}, clusterIP: 10.96.0." +
           std::to_string(below(3)) + ", ports: [{name: " + pick({"http", "tcp", "grpc"}) +
           ", port: 80}" + (one_in(4) ? ", {name: hbone, port: 15008}" : "") + "]}\n";
  }

 private:
  std::string ns() { return pick({"a", "b", "istio-system"}); }
  std::string in_ns() { return one_in(2) ? "" : ", namespace: " + ns(); }
  std::string name() { return pick({"svc", "other", "wp"}); }
  std::string host() { return pick({"svc", "svc.a.svc.cluster.local", "e.example", "other.b"}); }
  std::string waypoint() {
    return pick({"", ", istio.io/use-waypoint: wp",
                 ", istio.io/use-waypoint: wp, istio.io/use-waypoint-namespace: b"});
  }
  std::string processor() {  // after labels
    return one_in(4) ? "}, annotations: {weft.dev/external-processor: edit" : "";
  }
  std::string target() {
    return one_in(2) ? "{group: '', kind: Service, name: " + name() + "}"
                     : "{group: gateway.networking.k8s.io, kind: Gateway, name: wp}";
  }
  std::string pod() {
    const std::string gateway =
        one_in(6) ? ", gateway.networking.k8s.io/gateway-name: wp" : std::string();
    return head("v1", "Pod", ns(), "pod-" + std::to_string(below(5)),
                "app: " + pick({"x", "y", "w"}) + waypoint() + gateway) +
           "spec: {nodeName: n, serviceAccountName: s}\nstatus: {phase: " +
           pick({"Running", "Running", "Succeeded"}) + ", podIP: 10.244.0." +
           std::to_string(below(5)) + "}\n";
  }
  std::string entry() {
    return head("networking.istio.io/v1", "ServiceEntry", ns(), pick({"e1", "e2"}),
                "x: y" + waypoint()) +
           "spec: {hosts: [" + pick({"e.example", "f.example", "e.example, f.example"}) +
           "], addresses: [240.0.0." + std::to_string(1 + below(2)) +
           "], ports: [{number: 80, name: http, protocol: HTTP}], " +
           pick({"resolution: STATIC, endpoints: [{address: 1.2.3.4, labels: {app: x}}]",
                 "resolution: STATIC, endpoints: [{address: 1.2.3.4, labels: {app: y}}]",
                 "resolution: STATIC, workloadSelector: {labels: {app: x}}",
                 "resolution: DNS, endpoints: [{address: g.example}]"}) +
           "}\n";
  }

  std::mt19937 random_;
};

// A world that changes, its waypoints, and what they have been told.
struct Bench {
  Objects objects;
  Translation translation{{}, 1};
  WaypointCache cache{{}};
  std::shared_ptr<const manifest::MeshConfig> mesh;

  void put(const std::string& yaml) {
    const auto made = object(yaml);
    objects.set(manifest::key_of(*made), made);
  }
  std::shared_ptr<const Snapshot> publish() {
    const auto snapshot = translation.next(std::make_shared<const World>(objects, mesh));
    cache.follow(snapshot);
    return snapshot;
  }
  std::vector<WaypointClient> clients(const World& world) const {
    std::vector<WaypointClient> all;
    for (const auto* gateway : world.all<manifest::Gateway>()) {
      all.push_back({.gateway = gateway, .locality = {}, .sds_folder = {}});
    }
    return all;
  }
};

// Whom some routes and services name.
std::shared_ptr<const manifest::MeshConfig> asked_by_some() {
  auto parsed = manifest::parse_mesh_config("m.yaml",
                                            "extensionProviders:\n"
                                            "- {name: limits, weftRateLimitGrpc: {service: "
                                            "svc.a.svc.cluster.local, port: 80, domain: d}}\n"
                                            "- {name: edit, weftExtProcGrpc: {service: "
                                            "other.b.svc.cluster.local, port: 80}}\n");
  REQUIRE(parsed.problems.empty());
  return std::make_shared<const manifest::MeshConfig>(std::move(parsed.config));
}

std::string said(const PolicyNote& note) { return note.object.to_string() + ": " + note.text; }

// What is to be said of it.
std::multiset<std::string> check_as_new(const World& world, const WaypointClient& client,
                                        const WaypointSnapshot& got) {
  const Settings settings;
  const Catalog catalog(world, settings);
  const WaypointConfig expected = translate_waypoint(world, settings, catalog, client);
  for (const EnvoyType type : kEnvoyOrder) {
    INFO(type_url(type));
    std::map<std::string, std::string, std::less<>> content;
    for (const auto& [name, resource] : got.of(type)) content[name] = resource->bytes;
    REQUIRE(content == expected.of(type));
  }
  std::multiset<std::string> notes;
  for (const PolicyNote& note : expected.notes) notes.insert(said(note));
  for (const auto& [name, note] : expected.endpoint_notes) notes.insert(said(note));
  return notes;
}

}  // namespace

TEST_CASE("change by change, a waypoint has what it would have if it were configured anew") {
  std::uint64_t whole = 0, asked = 0;
  for (unsigned seed = 0; seed < 40; ++seed) {
    Chance chance(seed);
    Bench bench;
    bench.mesh = asked_by_some();
    for (int i = 0; i < 40; ++i) bench.put(chance.any());
    for (int step = 0; step < 50; ++step) {
      INFO("seed " << seed << " step " << step);
      for (unsigned changes = 1 + chance.below(2); changes > 0; --changes) {
        const auto made = object(chance.any());
        const manifest::ObjectKey key = manifest::key_of(*made);
        if (chance.one_in(4)) {
          bench.objects.erase(key);
        } else {
          bench.objects.set(key, made);
        }
      }
      const auto snapshot = bench.publish();
      std::multiset<std::string> expected, notes;
      for (const WaypointClient& client : bench.clients(*snapshot->world)) {
        if (chance.one_in(10)) continue;  // its proxy is away
        ++asked;
        const auto got = bench.cache.of(client);
        expected.merge(check_as_new(*snapshot->world, client, *got));
        CHECK(bench.cache.of(client) == got);
      }
      for (const PolicyNote& note : bench.cache.notes()) notes.insert(said(note));
      CHECK(notes == expected);
    }
    whole += bench.cache.work().waypoints;
  }
  CHECK(whole < asked * 3 / 4);  // in a small world almost everything is about everybody
}

TEST_CASE("what a waypoint is told again is what a change is about, not the mesh") {
  constexpr int kNamespaces = 20, kServices = 5, kPods = 20;
  Bench bench;
  const auto pod = [](int ns, int app, int number, const char* phase) {
    return head("v1", "Pod", "ns-" + std::to_string(ns),
                "pod-" + std::to_string(app) + "-" + std::to_string(number),
                "app: app-" + std::to_string(app)) +
           "status: {phase: " + phase + ", podIP: 10." + std::to_string(ns) + "." +
           std::to_string(app) + "." + std::to_string(number) + "}\n";
  };
  const auto service = [](int ns, int app, int port) {
    return head("v1", "Service", "ns-" + std::to_string(ns), "app-" + std::to_string(app)) +
           "spec: {selector: {app: app-" + std::to_string(app) + "}, clusterIP: 10.96." +
           std::to_string(ns) + "." + std::to_string(app) +
           ", ports: [{port: " + std::to_string(port) + "}]}\n";
  };
  for (int ns = 0; ns < kNamespaces; ++ns) {
    const std::string name = "ns-" + std::to_string(ns);
    bench.put(head("v1", "Namespace", "", name, "istio.io/use-waypoint: wp"));
    bench.put(head("gateway.networking.k8s.io/v1", "Gateway", name, "wp") +
              "spec: {gatewayClassName: weft-waypoint, listeners: [{name: mesh, port: 15008, "
              "protocol: HBONE}]}\n");
    for (int app = 0; app < kServices; ++app) {
      bench.put(service(ns, app, 80));
      for (int i = 0; i < kPods; ++i) bench.put(pod(ns, app, i, "Running"));
    }
  }
  using Work = std::array<std::uint64_t, 3>;
  const auto work = [&]() -> Work {
    const WaypointCache::Work before = bench.cache.work();
    const auto snapshot = bench.publish();
    for (const WaypointClient& client : bench.clients(*snapshot->world)) {
      (void)bench.cache.of(client);
    }
    const WaypointCache::Work& after = bench.cache.work();
    return {after.read - before.read, after.waypoints - before.waypoints,
            after.endpoints - before.endpoints};
  };
  CHECK(work() == Work{kNamespaces * kServices * (kPods + 1), kNamespaces, 0});
  CHECK(work() == Work{0, 0, 0});
  // A pod ends: its workload is read, and a service of one waypoint has other endpoints; it has a
  // cluster for HTTP and one for the rest.
  bench.put(pod(3, 2, 7, "Succeeded"));
  CHECK(work() == Work{1, 0, 2});
  // A service has another port: the waypoint before it.
  bench.put(service(3, 2, 81));
  CHECK(work()[1] == 1);
  // Policies and routes: those whose namespace it is.
  bench.put(head("security.istio.io/v1", "AuthorizationPolicy", "ns-4", "p") +
            "spec: {targetRefs: [{group: '', kind: Service, name: app-1}], rules: [{}]}\n");
  CHECK(work() == Work{0, 1, 0});
  bench.put(head("gateway.networking.k8s.io/v1", "HTTPRoute", "ns-5", "r") +
            "spec: {parentRefs: [{group: '', kind: Service, name: app-1}], rules: [{backendRefs: "
            "[{name: app-2, port: 80}]}]}\n");
  CHECK(work() == Work{0, 1, 0});
  bench.put(head("networking.istio.io/v1", "DestinationRule", "ns-6", "d") +
            "spec: {host: app-1, trafficPolicy: {loadBalancer: {simple: RANDOM}}}\n");
  CHECK(work() == Work{0, 1, 0});
  bench.put(head("v1", "Node", "", "n1"));
  CHECK(work() == Work{0, 0, 0});
  // What is of the whole mesh is for all of them.
  bench.put(head("networking.istio.io/v1", "DestinationRule", "istio-system", "d") +
            "spec: {host: '*.svc.cluster.local'}\n");
  CHECK(work() == Work{0, kNamespaces, 0});
}

TEST_CASE("another mesh configuration is a version, and is told to the waypoints that asked it") {
  Bench bench;
  bench.put(head("gateway.networking.k8s.io/v1", "Gateway", "a", "wp") +
            "spec: {gatewayClassName: weft-waypoint, listeners: [{name: mesh, port: 15008, "
            "protocol: HBONE}]}\n");
  bench.put(head("v1", "Service", "a", "web", "istio.io/use-waypoint: wp") +
            "spec: {clusterIP: 10.96.0.1, ports: [{name: http, port: 80}]}\n");
  bench.put(head("security.istio.io/v1", "AuthorizationPolicy", "a", "ask") +
            "spec: {targetRefs: [{group: '', kind: Service, name: web}], action: CUSTOM, "
            "provider: {name: guard}, rules: [{}]}\n");
  const auto told = [&] {
    const auto snapshot = bench.publish();
    const auto client = bench.clients(*snapshot->world).at(0);
    const auto got = bench.cache.of(client);
    check_as_new(*snapshot->world, client, *got);
    return std::pair(snapshot->version, bench.cache.notes().at(0).text);
  };
  CHECK(told() == std::pair<std::uint64_t, std::string>(
                      1, "provider guard is not known: what it would be asked is denied"));
  bench.mesh = std::make_shared<manifest::MeshConfig>(
      manifest::parse_mesh_config("m",
                                  "extensionProviders: [{name: guard, envoyExtAuthzHttp: "
                                  "{service: guard.a.svc.cluster.local, port: 80}}]")
          .config);
  CHECK(told() == std::pair<std::uint64_t, std::string>(
                      2,
                      "provider guard: there is no service guard.a.svc.cluster.local: what it "
                      "would be asked is denied"));
  const auto work = bench.cache.work().waypoints;
  CHECK(told().first == 2);
  CHECK(bench.cache.work().waypoints == work);
}

}  // namespace mesh::control
