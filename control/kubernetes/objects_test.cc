#include "control/kubernetes/objects.h"

#include <catch2/catch_test_macros.hpp>

#include "control/translate_workloads.h"
#include "mesh/manifest/json.h"
#include "workload.pb.h"

namespace mesh::control {
namespace {

using manifest::Kind;

manifest::Value json(std::string_view text) {
  auto value = manifest::read_json(text);
  REQUIRE(value);
  return *std::move(value);
}

const manifest::AuthorizationPolicy* policy(const KubeObjects& all, std::string_view name) {
  static World world;
  world = World(all.objects());
  return world.find<manifest::AuthorizationPolicy>("shop", name);
}

constexpr const char* kGood = R"({"metadata": {"name": "p", "namespace": "shop"},
    "spec": {"action": "ALLOW", "rules": [{"to": [{"operation": {"ports": ["80"]}}]}]}})";
constexpr const char* kBad = R"({"metadata": {"name": "p", "namespace": "shop"},
    "spec": {"action": "ALLOW", "selector": {"matchLabels": {"app": "web"}},
             "rules": [{"to": [{"operation": {"ports": ["http"]}}]}]}})";

}  // namespace

TEST_CASE("of an object that cannot be honoured the last good version stays, and it is said") {
  KubeObjects all;
  KubeObjects::Collection policies(all, Kind::kAuthorizationPolicy);
  policies.put(json(kGood));
  CHECK(all.take_changed());
  CHECK(all.problems().empty());
  const auto good = all.objects();
  policies.put(json(kBad));
  CHECK(all.objects() == good);
  REQUIRE(all.problems().size() == 1);
  CHECK(all.problems()[0].to_string() ==
        "kubernetes: AuthorizationPolicy shop/p: spec.rules[0].to[0].operation.ports[0]: "
        "\"http\" is not a port, 1 to 65535; what was good before stays in force");
  // A new list says the same.
  policies.begin_list();
  policies.stage(json(kBad));
  policies.commit_list();
  CHECK(all.objects() == good);
  CHECK(all.problems().size() == 1);
  policies.put(json(kGood));
  CHECK(all.problems().empty());
  policies.put(json(kBad));
  policies.remove(json(kBad));
  CHECK(all.objects().empty());
  CHECK(all.problems().empty());
}

TEST_CASE("a policy that was never good closes what it selects; a pod is left out") {
  KubeObjects all;
  KubeObjects::Collection policies(all, Kind::kAuthorizationPolicy);
  KubeObjects::Collection peers(all, Kind::kPeerAuthentication);
  KubeObjects::Collection pods(all, Kind::kPod);
  policies.put(json(kBad));
  const auto* closed = policy(all, "p");
  REQUIRE(closed != nullptr);
  CHECK(closed->action == manifest::AuthorizationAction::kDeny);
  CHECK(closed->rules.size() == 1);
  CHECK(closed->selector == manifest::Labels{{"app", "web"}});
  peers.put(json(R"({"metadata": {"name": "q", "namespace": "shop"},
      "spec": {"mtls": {"mode": "MAYBE"}}})"));
  const World world(all.objects());
  const auto* peer = world.find<manifest::PeerAuthentication>("shop", "q");
  REQUIRE(peer != nullptr);
  CHECK(peer->mode == manifest::MtlsMode::kStrict);
  CHECK_FALSE(peer->selector.has_value());
  pods.put(json(R"({"metadata": {"name": "w"}, "status": {"podIP": "nowhere"}})"));
  CHECK(world.all<manifest::Pod>().empty());
  CHECK(all.problems().size() == 3);
}

TEST_CASE("a selector that cannot be read stands for the whole namespace") {
  KubeObjects all;
  KubeObjects::Collection policies(all, Kind::kAuthorizationPolicy);
  for (const char* selector : {R"({"matchLabels": {"app": ["web"]}})", R"({"matchLabels": "app"})",
                               R"({"matchLabels": {"app": "web"}, "matchExpressions": []})"}) {
    INFO(selector);
    policies.put(json(R"({"metadata": {"name": "p", "namespace": "shop"},
        "spec": {"selector": )" +
                      std::string(selector) + R"(, "rules": [{}]}})"));
    REQUIRE(all.problems().size() == 1);
    CHECK_FALSE(policy(all, "p")->selector.has_value());
  }
}

TEST_CASE("what stands for a policy follows what it selects, and its status says what holds") {
  KubeObjects all;
  KubeObjects::Collection policies(all, Kind::kAuthorizationPolicy);
  const auto bad = [](std::string_view uid, std::string_view app) {
    return json(R"({"metadata": {"name": "p", "namespace": "shop", "uid": ")" + std::string(uid) +
                R"("}, "spec": {"selector": {"matchLabels": {"app": ")" + std::string(app) +
                R"("}}, "rules": [{"to": [{"operation": {"ports": ["http"]}}]}]}})");
  };
  const auto said = [&] { return all.statuses().begin()->second.in_force; };
  policies.put(bad("1", "web"));
  CHECK(policy(all, "p")->selector == manifest::Labels{{"app", "web"}});
  CHECK(said() == "it was never good here: all that it selects is denied");
  policies.put(bad("1", "cart"));
  CHECK(policy(all, "p")->selector == manifest::Labels{{"app", "cart"}});
  CHECK(said() == "it was never good here: all that it selects is denied");
  policies.put(json(R"({"metadata": {"name": "p", "namespace": "shop", "uid": "1"}, "spec": {}})"));
  CHECK(said().empty());
  policies.put(bad("1", "web"));
  CHECK(policy(all, "p")->action == manifest::AuthorizationAction::kAllow);
  CHECK(said() == "what was good before stays in force");
  // What was good of another object of that name says nothing about this one.
  policies.begin_list();
  policies.stage(bad("2", "web"));
  policies.commit_list();
  CHECK(policy(all, "p")->action == manifest::AuthorizationAction::kDeny);
}

TEST_CASE("to where a WorkloadEntry that never was good is, nobody connects") {
  KubeObjects all;
  KubeObjects::Collection entries(all, Kind::kWorkloadEntry);
  const auto put = [&](std::string_view spec) {
    entries.put(json(R"({"metadata": {"name": "vm", "namespace": "shop"}, "spec": )" +
                     std::string(spec) + "}"));
    REQUIRE(all.problems().size() == 1);
    return translate_workloads(World(all.objects()), Settings());
  };
  const std::string uid = "Kubernetes/networking.istio.io/WorkloadEntry/shop/vm";
  Addresses told = put(R"({"address": "192.0.2.7", "network": "n", "weight": 4294967295})");
  REQUIRE(told.contains(uid));
  const istio::workload::Workload& closed = told.at(uid).workload();
  CHECK(closed.addresses(0) == std::string("\xc0\x00\x02\x07", 4));
  CHECK(closed.network() == "n");
  CHECK(closed.waypoint().hostname().hostname() == "vm.shop.refused.invalid");
  CHECK(closed.tunnel_protocol() == istio::workload::HBONE);
  CHECK(closed.services().empty());
  const auto said = [&] { return all.statuses().begin()->second.in_force; };
  CHECK(said() == "it was never good here: connections to its address are refused");
  // What follows its address is looked at anew; a network that cannot be read is the own one.
  told = put(R"({"address": "2001:db8::1", "network": [], "weight": 1})");
  CHECK(told.at(uid).workload().addresses(0).size() == 16);
  // What is known by name only, or not at all, nobody dials by it.
  for (const char* nowhere : {R"({"address": "vm.example", "weight": 4294967295})",
                              R"({"address": ["192.0.2.7"]})", R"("192.0.2.7")"}) {
    INFO(nowhere);
    CHECK(put(nowhere).empty());
    CHECK(said() == "it was never good here: it is left out");
  }
  // One that was good stays as it was.
  entries.put(json(R"({"metadata": {"name": "vm", "namespace": "shop"},
      "spec": {"address": "192.0.2.8"}})"));
  told = put(R"({"address": "192.0.2.7", "weight": 4294967295})");
  CHECK(told.at(uid).workload().addresses(0).back() == '\x08');
  CHECK_FALSE(told.at(uid).workload().has_waypoint());
}

TEST_CASE("to the hosts and addresses of a ServiceEntry that never was good, nobody connects") {
  KubeObjects all;
  KubeObjects::Collection entries(all, Kind::kServiceEntry);
  const auto put = [&](std::string_view spec) {
    entries.put(json(R"({"metadata": {"name": "out", "namespace": "shop", "labels":
        {"istio.io/use-waypoint": "wp"}}, "spec": )" +
                     std::string(spec) + "}"));
    REQUIRE_FALSE(all.problems().empty());
    return translate_workloads(World(all.objects()), Settings());
  };
  Addresses told = put(R"({"hosts": ["out.example", "a/b"], "resolution": "NONE",
      "addresses": ["198.51.100.0/24", "198.51.100.0/33", "192.0.2.1"], "exportTo": ["."],
      "ports": [{"number": 80, "name": "http"}]})");
  REQUIRE(told.size() == 1);
  const istio::workload::Service& closed = told.at("shop/out.example").service();
  REQUIRE(closed.addresses_size() == 2);
  CHECK(closed.addresses(0).length() == 24);
  CHECK(closed.addresses(1).address() == std::string("\xc0\x00\x02\x01", 4));
  CHECK(closed.visibility() == istio::workload::Service::NAMESPACE);
  CHECK(closed.ports().empty());
  CHECK_FALSE(closed.has_waypoint());
  CHECK_FALSE(closed.has_load_balancing());
  CHECK(all.statuses().begin()->second.in_force ==
        "it was never good here: connections to its hosts and addresses are refused");
  // Its endpoints, those that its hosts are and those that it selects are nobody's.
  CHECK(put(R"({"hosts": ["out.example"], "resolution": "DNS", "addresses": ["x"]})").size() == 1);
  CHECK(put(R"({"hosts": ["out.example"], "resolution": "STATIC", "exportTo": "all",
      "endpoints": [{"address": "192.0.2.9", "weight": 4294967295}]})")
            .size() == 1);
  // Without a host that can be read, its addresses are known all the same.
  told = put(R"({"hosts": ["a/b"], "addresses": ["192.0.2.1"]})");
  CHECK(told.at("shop/out.shop.refused.invalid").service().addresses_size() == 1);
}

TEST_CASE("a new list takes the place of one kind only") {
  KubeObjects all;
  KubeObjects::Collection pods(all, Kind::kPod);
  KubeObjects::Collection services(all, Kind::kService);
  services.put(json(R"({"metadata": {"name": "s"}})"));
  for (const char* name : {"a", "b"}) {
    pods.put(json(R"({"metadata": {"name": ")" + std::string(name) + R"("}})"));
  }
  pods.begin_list();
  pods.stage(json(R"({"metadata": {"name": "b", "annotations":
      {"kubectl.kubernetes.io/last-applied-configuration": "{}", "x": "y"}},
      "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]}})"));
  CHECK(all.objects().size() == 3);
  pods.commit_list();
  const World world(all.objects());
  REQUIRE(world.all<manifest::Pod>().size() == 1);
  const manifest::Pod& pod = *world.all<manifest::Pod>()[0];
  CHECK(pod.metadata.annotations.size() == 1);
  CHECK(pod.containers.at(0).ports.size() == 1);
  CHECK(pod.containers.at(0).image.empty());
  CHECK(world.all<manifest::Service>().size() == 1);
}

}  // namespace mesh::control
