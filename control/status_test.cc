// Statuses: the recorded worlds' against the record, and what those worlds do not hold.

#include "control/status.h"

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include <catch2/catch_test_macros.hpp>

#include "control/folder.h"
#include "mesh/manifest/parse.h"

namespace mesh::control {
namespace {

std::string line_of(const StatusCondition& condition) {
  return condition.type + "\t" + (condition.holds ? "True" : "False") + "\t" + condition.reason;
}

// One line for each condition and address: OBJECT, type, status, reason.
std::set<std::string> lines_of(const World& world) {
  std::set<std::string> lines;
  for (const ObjectStatus& status : compute_statuses(world, Settings{})) {
    const std::string object = status.object.to_string() + "\t";
    for (const StatusCondition& condition : status.conditions) {
      CHECK_FALSE(condition.message.empty());
      lines.insert(object + line_of(condition));
    }
    for (const ListenerStatus& listener : status.listeners) {
      const std::string prefix = status.object.to_string() + " listener " + listener.name + "\t";
      for (const StatusCondition& c : listener.conditions) lines.insert(prefix + line_of(c));
    }
    for (const manifest::GatewayAddress& address : status.addresses) {
      lines.insert(object + "address " + address.type + "\t" + address.value + "\t");
    }
    for (const ParentStatus& parent : status.parents) {
      for (const StatusCondition& c : parent.conditions) {
        lines.insert(object + parent.parent.name + " " + line_of(c));
      }
    }
  }
  return lines;
}

World world_of(const std::string& text) {
  Folder folder;
  manifest::Parsed parsed = manifest::parse("m.yaml", text);
  parsed.broken.clear();  // of what is refused, the recorded worlds say nothing
  folder.put("m.yaml", std::move(parsed));
  return World(folder.settle());
}

std::string read(const std::filesystem::path& path) {
  const std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

constexpr const char* kShop = R"(
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/use-waypoint: w}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: w, namespace: shop, generation: 4}
spec: {gatewayClassName: weft-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: v1
kind: Service
metadata: {name: w, namespace: shop, labels: {gateway.networking.k8s.io/gateway-name: w}}
spec: {clusterIP: 10.96.0.9, selector: {app: w}, ports: [{port: 15008}]}
---
apiVersion: v1
kind: Pod
metadata: {name: w, namespace: shop, labels: {app: w}}
status: {phase: Running, podIP: 10.244.0.9}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, generation: 3}
spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: bill, namespace: pay}
spec: {clusterIP: 10.96.0.2, ports: [{port: 80}]}
---
)";

std::string route(const std::string& ns, const std::string& spec) {
  return "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r, "
         "namespace: " +
         ns + ", generation: 9}\nspec: " + spec + "\n";
}

bool says(const std::string& text, const std::string& line) {
  const std::set<std::string> lines = lines_of(world_of(kShop + text));
  for (const std::string& known : lines) UNSCOPED_INFO(known);
  return lines.contains(line);
}

}  // namespace

TEST_CASE("the statuses of the recorded worlds are as recorded, but for the listed differences") {
  // "=" the same, "-" recorded and not ours, "+" ours and not recorded.
  std::map<std::string, std::set<std::string>> expected;
  std::istringstream table(read(GOLDEN_FOLDER "/wds/status.tsv"));
  for (std::string line; std::getline(table, line);) {
    if (line.empty() || line[0] == '#' || line[0] == '-') continue;
    const auto tab = line.find('\t');
    const std::string world = line.substr(1, tab - 1);
    expected[world].insert(line.substr(tab + 1));
  }
  unsigned worlds = 0;
  for (const auto& entry : std::filesystem::directory_iterator(GOLDEN_FOLDER "/wds")) {
    if (entry.path().extension() != ".yaml") continue;
    ++worlds;
    const std::string name = entry.path().stem();
    INFO(name);
    const std::set<std::string> ours = lines_of(world_of(read(entry.path())));
    for (const std::string& line : ours) {
      if (!expected[name].contains(line)) FAIL_CHECK("ours, not listed:@" << name << "\t" << line);
    }
    for (const std::string& line : expected[name]) {
      if (!ours.contains(line)) FAIL_CHECK("listed, not ours:@" << name << "\t" << line);
    }
  }
  CHECK(worlds == 68);
}

TEST_CASE("each status is for the generation that was looked at") {
  const World world =
      world_of(kShop + route("shop", "{parentRefs: [{group: '', kind: Service, name: web}]}"));
  std::set<std::pair<std::string, std::int64_t>> seen;
  for (const ObjectStatus& status : compute_statuses(world, {})) {
    seen.emplace(status.object.to_string(), status.generation);
  }
  CHECK(seen == std::set<std::pair<std::string, std::int64_t>>{
                    {"Service shop/web", 3}, {"Gateway shop/w", 4}, {"HTTPRoute shop/r", 9}});
}

TEST_CASE("a route is told what became of each parent") {
  const auto with = [](const std::string& ns, const std::string& parent, const std::string& line) {
    return says(route(ns, "{parentRefs: [{" + parent + "}]}"), "HTTPRoute " + ns + "/r\t" + line);
  };
  const std::string web = "group: '', kind: Service, name: web";
  CHECK(with("shop", web, "web Accepted\tTrue\tAccepted"));
  CHECK(with("shop", web + ", port: 80", "web Accepted\tTrue\tAccepted"));
  CHECK(with("shop", web, "web ResolvedWaypoints\tTrue\tResolvedWaypoints"));
  CHECK(with("shop", web + ", port: 81", "web Accepted\tFalse\tNoMatchingParent"));
  CHECK(with("pay", web, "web Accepted\tFalse\tNoMatchingParent"));
  CHECK(with("pay", web + ", namespace: shop", "web Accepted\tTrue\tAccepted"));  // a consumer's
  CHECK(with("pay", "group: '', kind: Service, name: bill",
             "bill ResolvedWaypoints\tFalse\tWaypointMissing"));
  CHECK(with("shop", "name: w", "w Accepted\tFalse\tNotAllowedByListeners"));
}

TEST_CASE("a route's backends are there, are Services, and are granted") {
  const auto with = [](const std::string& backend, const std::string& more = "") {
    const std::string text = route("shop",
                                   "{parentRefs: [{group: '', kind: Service, name: web}], rules: "
                                   "[{backendRefs: [{" +
                                       backend + "}]}]}") +
                             more;
    const World world = world_of(kShop + text);
    for (const ObjectStatus& status : compute_statuses(world, {})) {
      if (!status.parents.empty()) return status.parents[0].conditions[1].reason;
    }
    return std::string();
  };
  const std::string grant =
      "---\napiVersion: gateway.networking.k8s.io/v1\nkind: ReferenceGrant\n"
      "metadata: {name: g, namespace: pay}\nspec: {from: [{group: gateway.networking.k8s.io, "
      "kind: KIND, namespace: shop}], to: [{group: '', kind: Service, name: bill}]}\n";
  const auto granted = [&](std::string kind) {
    return std::string(grant).replace(grant.find("KIND"), 4, kind);
  };
  CHECK(with("name: web, port: 80") == "ResolvedRefs");
  CHECK(with("name: web, port: 81") == "BackendNotFound");
  CHECK(with("name: gone, port: 80") == "BackendNotFound");
  CHECK(with("group: apps, kind: Deployment, name: web") == "InvalidKind");
  CHECK(with("name: bill, namespace: pay, port: 80") == "RefNotPermitted");
  CHECK(with("name: bill, namespace: pay, port: 80", granted("HTTPRoute")) == "ResolvedRefs");
  CHECK(with("name: bill, namespace: pay, port: 80", granted("GRPCRoute")) == "RefNotPermitted");
  CHECK(with("name: gone, namespace: pay, port: 80", granted("HTTPRoute")) == "RefNotPermitted");
}

TEST_CASE("a policy is told which of its targets it reaches") {
  const auto with = [](const std::string& targets, const std::string& condition) {
    return says(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, "
        "namespace: shop}\nspec: {targetRefs: [" +
            targets + "]}\n",
        "AuthorizationPolicy shop/p\tWaypointAccepted\t" + condition);
  };
  CHECK(with("{kind: Service, name: web}", "True\tAccepted"));
  CHECK(with("{kind: Service, name: gone}", "False\tTargetNotFound"));
  CHECK(with("{kind: Service, name: web}, {kind: Service, name: gone}", "True\tPartiallyInvalid"));
  CHECK(with("{group: gateway.networking.k8s.io, kind: Gateway, name: w}", "True\tAccepted"));
  CHECK(with("{group: gateway.networking.k8s.io, kind: GatewayClass, name: istio-waypoint}",
             "False\tInvalid"));
  const std::string bare =
      "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: "
      "pay}\nspec: {targetRefs: [{kind: Service, name: bill}]}\n";
  CHECK(says(bare, "AuthorizationPolicy pay/p\tWaypointAccepted\tFalse\tAncestorNotBound"));
  CHECK(says(bare, "AuthorizationPolicy pay/p\tZtunnelAccepted\tTrue\tAccepted"));
}

TEST_CASE("a GatewayClass of ours is accepted, one of others is left alone") {
  const auto status = [](const std::string& controller) {
    return compute_statuses(
               world_of("apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\n"
                        "metadata: {name: c}\nspec: {controllerName: " +
                        controller + "}\n"),
               {})
        .size();
  };
  CHECK(status("weft.dev/mesh-controller") == 1);
  CHECK(status("example.com/other") == 0);
}

}  // namespace mesh::control
