#include "cli/kubernetes/check.h"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>

#include "cli/json.h"
#include "cli/template/chart.h"
#include "cli/template/yaml.h"

namespace mesh::cli {

using Json = nlohmann::json;

namespace {

const kube::ResourceType kSelfReviews{"authorization.k8s.io", "v1", "selfsubjectaccessreviews",
                                      false};
constexpr int kMinorLeast = 28;  // of Kubernetes 1

// What we read of kinds that a cluster may lack.
struct NeededKind {
  const char* api_version;
  const char* kind;
  bool must;  // waypoints and routes are a feature; policies are not
};
constexpr NeededKind kNeededKinds[] = {
    {"security.istio.io/v1", "AuthorizationPolicy", true},
    {"security.istio.io/v1", "PeerAuthentication", true},
    {"security.istio.io/v1", "RequestAuthentication", false},
    {"networking.istio.io/v1", "ServiceEntry", false},
    {"networking.istio.io/v1", "WorkloadEntry", false},
    {"networking.istio.io/v1", "DestinationRule", false},
    {"networking.istio.io/v1", "VirtualService", false},
    {"gateway.networking.k8s.io/v1", "GatewayClass", false},
    {"gateway.networking.k8s.io/v1", "Gateway", false},
    {"gateway.networking.k8s.io/v1", "HTTPRoute", false},
    {"gateway.networking.k8s.io/v1", "GRPCRoute", false},
};

CheckResult good(std::string what) {
  return {.health = Health::kGood, .what = std::move(what), .why = {}, .fix = {}};
}

const char* sign_of(Health health) {
  return health == Health::kGood ? "ok" : health == Health::kWarning ? "warning" : "WRONG";
}

void print(const Session& session, const CheckResults& results) {
  if (session.output != "table") {
    Json list = Json::array();
    for (const CheckResult& one : results) {
      list.push_back({{"health", sign_of(one.health)},
                      {"what", one.what},
                      {"why", one.why},
                      {"fix", one.fix}});
    }
    print(session, list, "");
    return;
  }
  for (const CheckResult& one : results) {
    std::printf("%-8s %s%s%s\n", sign_of(one.health), one.what.c_str(), one.why.empty() ? "" : ": ",
                one.why.c_str());
    if (!one.fix.empty()) std::printf("         fix: %s\n", one.fix.c_str());
  }
}

Outcome<Done> check_pod_security(Cluster& cluster, const std::string& ns, CheckResults& results) {
  TRY(const Json object, cluster.get(kNamespaces.path({}, ns)));
  if (object.is_null()) return Done{};
  const std::string level = label(object, "pod-security.kubernetes.io/enforce");
  if (level.empty() || level == "privileged") {
    results.push_back(good("namespace " + ns + " lets the node's programs run"));
    return Done{};
  }
  results.push_back({.health = Health::kBad,
                     .what = "namespace " + ns + " enforces pod security \"" + level + "\"",
                     .why = "weft-agent and ztunnel need host paths and capabilities",
                     .fix = "kubectl label namespace " + ns +
                            " pod-security.kubernetes.io/enforce=privileged --overwrite"});
  return Done{};
}

Outcome<Done> check_others(Cluster& cluster, CheckResults& results) {
  TRY(const Json istiod, cluster.get(kDeployments.path("istio-system", "istiod")));
  TRY(const Json cni, cluster.get(kDaemonSets.path("istio-system", "istio-cni-node")));
  if (!cni.is_null()) {
    results.push_back({.health = Health::kBad,
                       .what = "istio-cni-node runs here",
                       .why = "two agents would enrol the same pods",
                       .fix = "take Istio's ambient mode off, or Weft"});
  } else if (!istiod.is_null()) {
    results.push_back({.health = Health::kWarning,
                       .what = "istiod runs here",
                       .why = "it writes the status of the same objects",
                       .fix = "take it off once its sidecars are gone"});
  }
  return Done{};
}

Outcome<bool> run_checks(Cluster& cluster, const std::string& ns, CheckResults& results) {
  TRY_DO(check_server(cluster, results));
  TRY_DO(check_nodes(cluster, results));
  TRY_DO(check_kinds(cluster, results));
  TRY_DO(check_pod_security(cluster, ns, results));
  TRY_DO(check_others(cluster, results));
  TRY(const Json control, cluster.get(kDeployments.path(ns, "weft-control")));
  if (control.is_null()) {
    TRY_DO(check_installer(cluster, ns, results));
    return false;
  }
  TRY_DO(check_roles(cluster, ns, results));
  TRY_DO(check_programs(cluster, ns, results));
  return true;
}

}  // namespace

bool is_kernel_new_enough(const std::string& release) {
  int major = 0;
  int minor = 0;
  if (std::sscanf(release.c_str(), "%d.%d", &major, &minor) != 2) return false;
  return std::pair(major, minor) >= std::pair(6, 1);
}

Outcome<Done> check_server(Cluster& cluster, CheckResults& results) {
  TRY(const Json version, cluster.get("/version"));
  const int minor = std::atoi(text(version, "minor").c_str());
  const std::string name = "Kubernetes " + text(version, "gitVersion");
  if (text(version, "major") == "1" && minor < kMinorLeast) {
    results.push_back({.health = Health::kBad,
                       .what = name,
                       .why = "too old",
                       .fix = "1." + std::to_string(kMinorLeast) + " or newer"});
  } else {
    results.push_back(good(name));
  }
  return Done{};
}

Outcome<Done> check_nodes(Cluster& cluster, CheckResults& results) {
  TRY(const std::vector<Json> nodes, cluster.list(kNodes.path()));
  std::size_t fit = 0;
  for (const Json& node : nodes) {
    const Json& info = member(member(node, "status"), "nodeInfo");
    const std::string system = text(info, "operatingSystem");
    if (system == "windows") continue;
    const std::string release = text(info, "kernelVersion");
    if (release.empty() || is_kernel_new_enough(release)) {
      ++fit;
      continue;
    }
    results.push_back({.health = Health::kBad,
                       .what = "node " + name_of(node) + " runs Linux " + release,
                       .why = "too old",
                       .fix = "Linux 6.1 or newer, with BTF and io_uring"});
  }
  if (nodes.empty()) {
    results.push_back({.health = Health::kWarning,
                       .what = "there are no nodes",
                       .why = "nothing can run",
                       .fix = "add a node"});
  } else if (fit > 0) {
    results.push_back(good(std::to_string(fit) + " nodes with a kernel that is new enough"));
  }
  return Done{};
}

Outcome<Done> check_kinds(Cluster& cluster, CheckResults& results) {
  std::string missing;
  bool must = false;
  for (const NeededKind& one : kNeededKinds) {
    const Json sample = {
        {"apiVersion", one.api_version}, {"kind", one.kind}, {"metadata", {{"name", "x"}}}};
    if (cluster.target_of(sample)) continue;
    missing += (missing.empty() ? "" : ", ") + std::string(one.kind);
    must = must || one.must;
  }
  if (missing.empty()) {
    results.push_back(good("every kind that Weft reads is served"));
    return Done{};
  }
  results.push_back(
      {.health = must ? Health::kBad : Health::kWarning,
       .what = "kinds are missing",
       .why = missing,
       .fix = "apply the CRDs of the Gateway API and of Istio (kubectl apply --server-side -f …)"});
  return Done{};
}

Outcome<Done> check_installer(Cluster& cluster, const std::string& ns, CheckResults& results) {
  TRY(const std::vector<Json> objects,
      render_chart(embedded_chart("weft"), Json::object(), {.name = "weft", .ns = ns}));
  std::set<std::string> asked;
  std::size_t missing = 0;
  for (const Json& object : objects) {
    const auto target = cluster.target_of(object);
    if (!target || !asked.insert(target->type.group + "/" + target->type.plural).second) continue;
    for (const char* verb : {"get", "create", "patch", "delete"}) {
      Json attributes = {
          {"group", target->type.group}, {"resource", target->type.plural}, {"verb", verb}};
      if (target->type.namespaced) attributes["namespace"] = target->ns;
      TRY(const Json answer,
          cluster.ask(kSelfReviews, {{"apiVersion", "authorization.k8s.io/v1"},
                                     {"kind", "SelfSubjectAccessReview"},
                                     {"spec", {{"resourceAttributes", attributes}}}}));
      if (flag(member(answer, "status"), "allowed")) continue;
      ++missing;
      results.push_back({.health = Health::kBad,
                         .what = std::string("you may not ") + verb + " " + target->type.plural,
                         .why = "installing needs it",
                         .fix = "ask for a role that may, such as cluster-admin"});
    }
  }
  if (missing == 0) results.push_back(good("you may do what installing needs"));
  return Done{};
}

int check(const Session& session, const CheckOptions& options) {
  auto cluster = open_cluster(session);
  if (!cluster) return complain(cluster.error());
  CheckResults results;
  const auto installed = run_checks(*cluster, options.ns, results);
  if (!installed) return complain(installed.error());
  print(session, results);
  std::size_t bad = 0;
  for (const CheckResult& one : results) bad += one.health == Health::kBad ? 1 : 0;
  if (session.output == "table") {
    std::printf("\n%s\n", bad > 0      ? (std::to_string(bad) + " things are wrong").c_str()
                          : *installed ? "Weft is as it should be"
                                       : "this cluster is fit for Weft: weft install");
  }
  return bad > 0 ? kFindings : kOk;
}

}  // namespace mesh::cli
