// Translating change by change comes to what translating everything anew does, and its work follows
// the change.

#include "control/translation.h"

#include <array>
#include <random>

#include <catch2/catch_test_macros.hpp>

#include "authorization.pb.h"
#include "mesh/manifest/parse.h"
#include "workload.pb.h"

namespace mesh::control {
namespace {

using manifest::Object;
using manifest::ObjectKey;

std::shared_ptr<const Object> object(const std::string& yaml) {
  manifest::Parsed parsed = manifest::parse("m.yaml", yaml);
  INFO(yaml);
  for (const auto& problem : parsed.problems) UNSCOPED_INFO(problem.to_string());
  REQUIRE(parsed.objects.size() == 1);
  return std::make_shared<const Object>(std::move(parsed.objects[0].object));
}

// Objects of every kind, made at random, with names that meet one another.
class Chance {
 public:
  explicit Chance(unsigned seed) : random_(seed) {}

  unsigned below(unsigned limit) { return static_cast<unsigned>(random_()) % limit; }
  bool one_in(unsigned n) { return below(n) == 0; }
  std::string pick(std::initializer_list<const char*> from) {
    return *(from.begin() + below(static_cast<unsigned>(from.size())));
  }
  std::string ns() { return pick({"a", "b", "istio-system"}); }
  std::string label() { return pick({"app: x", "app: y", "app: x, tier: t", "tier: t"}); }
  std::string waypoint() {
    return pick({"", "", ", istio.io/use-waypoint: wp", ", istio.io/use-waypoint: none",
                 ", istio.io/use-waypoint: wp, istio.io/use-waypoint-namespace: b"});
  }
  std::string meta(const std::string& ns, const std::string& name, const std::string& labels) {
    const std::string created = pick({"", ", creationTimestamp: '2026-01-01T00:00:00Z'",
                                      ", creationTimestamp: '2026-01-02T00:00:00Z'"});
    return "metadata: {name: " + name + (ns.empty() ? "" : ", namespace: " + ns) + ", labels: {" +
           labels + "}" + created + "}\n";
  }

  std::string any() {
    switch (below(12)) {
      case 0:
        return "apiVersion: v1\nkind: Namespace\n" +
               meta("", ns(), pick({"x: y", "istio.io/dataplane-mode: ambient"}) + waypoint());
      case 1:
        return "apiVersion: v1\nkind: Node\n" +
               meta("", pick({"n1", "n2"}), pick({"x: y", "topology.kubernetes.io/zone: z1"}));
      case 2:
      case 3:
      case 4:
        return pod();
      case 5:
        return service();
      case 6:
        return slice();
      case 7:
        return policy();
      case 8:
        return "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n" +
               meta(ns(), pick({"p1", "p2"}), "x: y") +
               "spec: {mtls: {mode: " + pick({"STRICT", "PERMISSIVE", "DISABLE"}) + "}" +
               (one_in(2)
                    ? ", selector: {matchLabels: {" + label() +
                          "}}, portLevelMtls: {8080: {mode: " + pick({"STRICT", "DISABLE"}) + "}}"
                    : "") +
               "}\n";
      case 9:
        return "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n" +
               meta(ns(), "wp",
                    pick({"x: y", "istio.io/waypoint-for: all", "istio.io/waypoint-for: workload",
                          "istio.io/waypoint-for: none"})) +
               "spec: {gatewayClassName: weft-waypoint, listeners: [{name: mesh, port: 15008, "
               "protocol: HBONE, allowedRoutes: {namespaces: {from: " +
               pick({"Same", "All"}) + "}}}]}\n";
      case 10:
        return entry();
      default:
        return "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\n" +
               meta(ns(), pick({"w1", "w2"}), label() + waypoint()) + "spec: {address: 10.9.0." +
               std::to_string(below(3)) + ", labels: {" + label() + "}, serviceAccount: s}\n";
    }
  }

 private:
  std::string ip() { return "10.244.0." + std::to_string(below(4)); }

  std::string pod() {
    const std::string gateway =
        one_in(8) ? ", gateway.networking.k8s.io/gateway-name: wp" : std::string();
    return "apiVersion: v1\nkind: Pod\n" +
           meta(ns(), "pod-" + std::to_string(below(4)), label() + waypoint() + gateway) +
           "spec: {nodeName: " + pick({"n1", "n2"}) + ", serviceAccountName: " + pick({"s", "t"}) +
           ", hostNetwork: " + (one_in(8) ? "true" : "false") +
           "}\nstatus: {phase: " + pick({"Running", "Running", "Running", "Pending", "Succeeded"}) +
           (one_in(6) ? "" : ", podIP: " + ip()) + "}\n";
  }
  std::string service() {
    return "apiVersion: v1\nkind: Service\n" +
           meta(ns(), pick({"svc", "other"}), "x: y" + waypoint()) + "spec: {" +
           (one_in(3) ? "" : "selector: {" + label() + "}, ") +
           (one_in(8) ? "type: ExternalName, externalName: e.example, " : "") +
           "clusterIP: " + pick({"10.96.0.1", "10.96.0.2"}) +
           ", ports: [{name: http, port: 80}]}\n";
  }
  std::string slice() {
    return "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\n" +
           meta(ns(), pick({"s1", "s2"}), "kubernetes.io/service-name: " + pick({"svc", "other"})) +
           "endpoints: [{addresses: [" + ip() + "]}, {addresses: [" + ip() + "]" +
           (one_in(2) ? ", targetRef: {kind: Pod, name: pod-0}" : "") +
           "}]\nports: [{name: http, port: 8080}]\n";
  }
  std::string policy() {
    return "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n" +
           meta(ns(), pick({"p1", "p2"}), "x: y") +
           "spec: {action: " + pick({"ALLOW", "DENY", "AUDIT"}) +
           pick({"", ", selector: {matchLabels: {app: x}}", ", selector: {matchLabels: {tier: t}}",
                 ", targetRefs: [{kind: Service, group: '', name: svc}]"}) +
           ", rules: [{from: [{source: {namespaces: [" + ns() + "]}}]}]}\n";
  }
  std::string entry() {
    return "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\n" +
           meta(ns(), pick({"e1", "e2"}), "x: y" + waypoint()) + "spec: {hosts: [" +
           pick({"e.example", "f.example", "e.example, f.example", "svc.a.svc.cluster.local"}) +
           "], ports: [{number: 80, name: http, protocol: HTTP}], resolution: STATIC, " +
           (one_in(2) ? "endpoints: [{address: 1.2.3." + std::to_string(below(3)) + ", labels: {" +
                            label() + "}}]"
                      : "workloadSelector: {labels: {" + label() + "}}") +
           "}\n";
  }

  std::mt19937 random_;
};

using Content = std::map<std::string, std::string>;

Content content(const Resources& resources) {
  Content all;
  for (const auto& [name, resource] : resources) all.emplace(name, resource->bytes);
  return all;
}

template <class Messages>
Content content_of(const Messages& messages) {
  Content all;
  for (const auto& [name, message] : messages) all.emplace(name, bytes_of(message));
  return all;
}

// By asked name, what it stands for.
std::map<std::string, std::vector<std::string>> answers(const Snapshot& snapshot) {
  std::map<std::string, std::vector<std::string>> all;
  for (int i = 0; i < 4; ++i) {
    for (const char* net : {"/10.244.0.", "/10.9.0.", "/10.96.0."}) {
      const std::string asked = net + std::to_string(i);
      all[asked] = snapshot.find(asked);
    }
  }
  all["svc"] = snapshot.find("a/svc.a.svc.cluster.local");
  return all;
}

void check_same(const Snapshot& got, const Snapshot& anew) {
  CHECK(got.nodes.size() == anew.nodes.size());
  for (const auto& [name, pods] : anew.nodes) {
    const auto there = got.nodes.find(name);
    REQUIRE(there != got.nodes.end());
    CHECK(there->second->accounts == pods->accounts);
    CHECK(there->second->enrolled == pods->enrolled);
  }
  CHECK(answers(got) == answers(anew));
  CHECK(got.notes.size() == anew.notes.size());
}

}  // namespace

TEST_CASE("change by change, the resources are those of the whole world translated anew") {
  for (unsigned seed = 1; seed <= 40; ++seed) {
    INFO("seed " << seed);
    Chance chance(seed);
    Translation translation({}, 1);
    Objects objects;
    std::shared_ptr<const Snapshot> before;
    for (int step = 0; step < 60; ++step) {
      INFO("step " << step);
      const unsigned changes = chance.one_in(10) ? 80 : 1 + chance.below(3);
      for (unsigned i = 0; i < changes; ++i) {
        const auto made = object(chance.any());
        const ObjectKey key = manifest::key_of(*made);
        if (chance.one_in(4)) {
          objects.erase(key);
        } else {
          objects.set(key, made);
        }
      }
      const auto world = std::make_shared<const World>(objects);
      const auto got = translation.next(world);
      CHECK(content(got->of(xds::ResourceType::kAddress)) ==
            content_of(translate_workloads(*world, {})));
      std::vector<PolicyNote> notes;
      CHECK(content(got->of(xds::ResourceType::kAuthorization)) ==
            content_of(translate_policies(*world, {}, notes)));
      check_same(*got, *Translation({}, 1).next(world));
      if (before != nullptr) {
        bool differs = false;
        for (const auto type : {xds::ResourceType::kAddress, xds::ResourceType::kAuthorization}) {
          differs |= content(got->of(type)) != content(before->of(type));
        }
        if (differs) CHECK(got->version == before->version + 1);
      }
      before = got;
    }
  }
}

namespace {

std::string pod(int number, const std::string& app, const std::string& ip) {
  return "apiVersion: v1\nkind: Pod\nmetadata: {name: pod-" + std::to_string(number) +
         ", namespace: shop, labels: {app: " + app + "}}\nspec: {nodeName: n" +
         std::to_string(number % 5) + "}\nstatus: {phase: Running, podIP: " + ip + "}\n";
}

}  // namespace

TEST_CASE("a pod's dataplane-mode that is neither ambient nor none is as if it were not there") {
  const auto put = [](Objects& objects, const std::string& yaml) {
    const auto made = object(yaml);
    objects.set(manifest::key_of(*made), made);
  };
  for (const auto& [label, enrolled] : std::initializer_list<std::pair<const char*, bool>>{
           {"x: y", true},
           {"istio.io/dataplane-mode: ambient", true},
           {"istio.io/dataplane-mode: none", false},
           {"istio.io/dataplane-mode: ambiant", true},
           {"istio.io/dataplane-mode: ambiant, weft.dev/dataplane-mode: none", false}}) {
    INFO(label);
    Objects objects;
    put(objects,
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {istio.io/dataplane-mode: "
        "ambient}}\n");
    put(objects,
        std::string("apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: a, labels: {") +
            label + "}}\nstatus: {podIP: 10.0.0.1}\n");
    const World world(objects);
    CHECK(is_enrolled(world, *world.find<manifest::Pod>("a", "p")) == enrolled);
  }
}

TEST_CASE("what is translated is what a change is about, not the mesh") {
  Objects objects;
  const auto put = [&](const std::string& yaml) {
    const auto made = object(yaml);
    objects.set(manifest::key_of(*made), made);
  };
  put("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio.io/dataplane-mode: "
      "ambient}}\n");
  for (int i = 0; i < 5; ++i) {
    put("apiVersion: v1\nkind: Node\nmetadata: {name: n" + std::to_string(i) + "}\n");
  }
  constexpr int kPods = 2'000;
  for (int i = 0; i < kPods; ++i) {
    put(pod(i, "app-" + std::to_string(i % 100),
            "10.1." + std::to_string(i / 250) + "." + std::to_string(i % 250)));
  }
  for (int i = 0; i < 100; ++i) {
    put("apiVersion: v1\nkind: Service\nmetadata: {name: app-" + std::to_string(i) +
        ", namespace: shop}\nspec: {selector: {app: app-" + std::to_string(i) +
        "}, ports: [{port: 80}]}\n");
  }
  Translation translation({}, 1);
  const auto publish = [&] {
    const auto before = translation.work();
    (void)translation.next(std::make_shared<const World>(objects));
    const auto& after = translation.work();
    return std::array{after.objects - before.objects, after.services - before.services,
                      after.policies - before.policies};
  };
  using Work = std::array<std::uint64_t, 3>;
  CHECK(publish() == Work{kPods, 100, 0});
  CHECK(publish() == Work{0, 0, 0});
  put(pod(7, "app-8", "10.1.0.7"));
  CHECK(publish() == Work{1, 0, 0});
  objects.erase(ObjectKey{manifest::Kind::kPod, "shop", "pod-9"});
  CHECK(publish() == Work{1, 0, 0});
  put("apiVersion: v1\nkind: Service\nmetadata: {name: app-3, namespace: shop}\n"
      "spec: {selector: {app: app-3}, ports: [{port: 81}]}\n");
  CHECK(publish() == Work{20, 1, 0});
  put("apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
      "metadata: {name: p, namespace: shop}\nspec: {selector: {matchLabels: {app: app-4}}}\n");
  CHECK(publish() == Work{20, 0, 1});
  put("apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
      "metadata: {name: all, namespace: shop}\nspec: {}\n");
  CHECK(publish() == Work{0, 0, 1});
  put("apiVersion: v1\nkind: Node\nmetadata: {name: n1, annotations: {heartbeat: x}}\n");
  CHECK(publish() == Work{0, 0, 0});
  put("apiVersion: v1\nkind: Node\nmetadata: {name: n1, labels: {topology.kubernetes.io/zone: "
      "z}}\n");
  CHECK(publish() == Work{kPods / 5, 0, 0});
}

}  // namespace mesh::control
