// Of `weft check`: what is installed.

#include <nlohmann/json.hpp>

#include "cli/json.h"
#include "cli/kubernetes/check.h"
#include "cli/kubernetes/replicas.h"
#include "cli/kubernetes/rollout.h"
#include "cli/template/chart.h"
#include "cli/template/yaml.h"

namespace mesh::cli {

using Json = nlohmann::json;

namespace {

const kube::ResourceType kReviews{"authorization.k8s.io", "v1", "subjectaccessreviews", false};

// What a log says, and what that means. The first that fits counts.
struct Symptom {
  const char* text;
  const char* why;
  const char* fix;
};
constexpr Symptom kSymptoms[] = {
    {"io_uring is refused", "io_uring is refused",
     "let the pod run under the profile weft/ztunnel.json (seccomp.profile=localhost), and see "
     "that "
     "kernel.io_uring_disabled is 0 on the node"},
    {"has no io_uring", "io_uring does not work",
     "let the pod run under the profile weft/ztunnel.json (seccomp.profile=localhost), and see "
     "that "
     "kernel.io_uring_disabled is 0 on the node"},
    {"6.1 or newer is needed", "the node's kernel is too old", "Linux 6.1 or newer"},
    {"/sys/kernel/btf/vmlinux is missing", "the node's kernel has no BTF",
     "a kernel with CONFIG_DEBUG_INFO_BTF"},
    {"cannot give up privileges", "a capability is missing",
     "let nothing take capabilities of the chart's away: pod security of the namespace must be "
     "\"privileged\""},
    {"there is no CNI configuration", "the node has no CNI configuration yet",
     "install the cluster's CNI first, or set agent.cni.configDir"},
    {"is forbidden", "the API server withholds something",
     "apply the chart's roles again: weft upgrade"},
};

Outcome<bool> is_allowed(Cluster& cluster, const std::string& user, const Json& attributes) {
  TRY(const Json answer,
      cluster.ask(kReviews, {{"apiVersion", "authorization.k8s.io/v1"},
                             {"kind", "SubjectAccessReview"},
                             {"spec", {{"user", user}, {"resourceAttributes", attributes}}}}));
  return flag(member(answer, "status"), "allowed");
}

struct RoleList {
  const char* part;  // of files/rbac.yaml
  const char* account;
  bool own_namespace;
};
constexpr RoleList kRoleLists[] = {{"control", "weft-control", false},
                                   {"controlOwn", "weft-control", true},
                                   {"agent", "weft-agent", false},
                                   {"agentOwn", "weft-agent", true}};

Outcome<std::size_t> check_rule(Cluster& cluster, const RoleList& list, const std::string& ns,
                                const Json& rule, CheckResults& results) {
  const std::string user = "system:serviceaccount:" + ns + ":" + list.account;
  std::size_t missing = 0;
  for (const Json& resource : member(rule, "resources")) {
    const std::string full = text_of(resource);
    const std::size_t slash = full.find('/');
    for (const Json& verb : member(rule, "verbs")) {
      Json attributes = {{"group", text(rule, "group")},
                         {"resource", full.substr(0, slash)},
                         {"verb", text_of(verb)}};
      if (slash != std::string::npos) attributes["subresource"] = full.substr(slash + 1);
      if (list.own_namespace) attributes["namespace"] = ns;
      if (member(rule, "names").is_array()) attributes["name"] = member(rule, "names").front();
      TRY(const bool allowed, is_allowed(cluster, user, attributes));
      if (allowed) continue;
      ++missing;
      const std::string group = text(rule, "group");
      results.push_back({.health = Health::kBad,
                         .what = std::string(list.account) + " may not " + text_of(verb) + " " +
                                 full + (group.empty() ? "" : "." + group),
                         .why = "it needs that for: " + text(rule, "why"),
                         .fix = "apply the chart's roles again: weft upgrade (or helm upgrade)"});
    }
  }
  return missing;
}

Outcome<Done> diagnose(Cluster& cluster, const Json& pod, CheckResults& results) {
  const std::string trouble = trouble_of(pod);
  if (trouble.empty()) return Done{};
  CheckResult result{.health = Health::kBad,
                     .what = object_name(pod),
                     .why = trouble,
                     .fix = "kubectl -n " + namespace_of(pod) + " describe pod " + name_of(pod)};
  const std::string path = kPods.path(namespace_of(pod), name_of(pod), "log");
  for (const char* previous : {"", "true"}) {
    const auto log = cluster.page(
        kube::with_query(path, {{"tailLines", "50"}, {"previous", std::string(previous)}}));
    const CheckResult known = log ? diagnosis_of(*log) : CheckResult{};
    if (known.fix.empty()) continue;
    result.why = known.why + " (" + trouble + ")";
    result.fix = known.fix;
    break;
  }
  if (trouble.find("seccomp profile") != std::string::npos) {
    result.fix = "weft-agent puts the profile there: see its pod on that node";
  } else if (trouble.find("ImagePull") != std::string::npos) {
    result.fix =
        "import the images on the node (make images), or set image.registry, and "
        "waypoint.envoyImage for stock Envoy";
  }
  results.push_back(std::move(result));
  return Done{};
}

// Whether the agent has its plugin in the node's CNI chain, as it said last.
Outcome<Done> check_chain(Cluster& cluster, const Json& pod, CheckResults& results) {
  const std::string path = kPods.path(namespace_of(pod), name_of(pod), "log");
  const auto log = cluster.page(kube::with_query(path, {{"tailLines", "1000"}}));
  if (!log) return Done{};  // what hinders the pod is told of already
  const std::string problem = chain_problem(*log);
  if (problem.empty()) return Done{};
  results.push_back({.health = Health::kBad,
                     .what = "node " + text(member(pod, "spec"), "nodeName") +
                             ": weft-cni is not in the CNI chain",
                     .why = problem,
                     .fix = "pods that start there wait: install the cluster's CNI, or set "
                            "agent.cni.configDir and agent.cni.binDir to what its runtime reads"});
  return Done{};
}

// Whether a control has a mesh configuration that it can read.
void check_mesh_config(Cluster& cluster, const Json& pod, CheckResults& results) {
  constexpr std::string_view kErrors = "\nweft_control_mesh_config_errors ";
  const auto metrics = cluster.pod_page(
      {.ns = namespace_of(pod), .pod = name_of(pod), .port = kDebugPort, .path = "/metrics"});
  if (!metrics) return;  // what hinders the pod is told of already
  const std::size_t found = metrics->find(kErrors);
  if (found == std::string::npos || metrics->substr(found + kErrors.size(), 2) == "0\n") return;
  results.push_back({.health = Health::kBad,
                     .what = object_name(pod) + ": the mesh configuration cannot be read",
                     .why = "what was good of it before stays in force, if anything was",
                     .fix = "correct mesh.config, or the ConfigMap that mesh.configMap names; the "
                            "pod's log has the line"});
}

// Those that control has deployed, in every namespace.
Outcome<Done> check_waypoints(Cluster& cluster, CheckResults& results) {
  TRY(const std::vector<Json> pods, cluster.list(kPods.path(""), kWaypointPods));
  for (const Json& pod : pods) TRY_DO(diagnose(cluster, pod, results));
  return Done{};
}

std::string version_of(const Json& workload) {
  return label(workload, "app.kubernetes.io/version");
}

Outcome<Done> check_workload(Cluster& cluster, const std::string& ns,
                             const kube::ResourceType& type, const char* name,
                             CheckResults& results) {
  TRY(const Json workload, cluster.get(type.path(ns, name)));
  if (workload.is_null()) {
    results.push_back({.health = Health::kBad,
                       .what = std::string(name) + " is not there",
                       .why = "part of Weft is missing in " + ns,
                       .fix = "weft upgrade -n " + ns});
    return Done{};
  }
  const Progress progress = progress_of(workload);
  results.push_back({.health = progress.done ? Health::kGood : Health::kBad,
                     .what = progress.text,
                     .why = progress.done ? "" : "not all of its pods are ready",
                     .fix = progress.done ? "" : "see its pods below"});
  if (version_of(workload) != WEFT_VERSION) {
    results.push_back({.health = Health::kWarning,
                       .what = std::string(name) + " is of version " + version_of(workload),
                       .why = "this weft is " WEFT_VERSION,
                       .fix = "weft upgrade, or use the weft of that version"});
  }
  TRY(const std::vector<Json> pods, cluster.list(kPods.path(ns), "app=" + std::string(name)));
  for (const Json& pod : pods) {
    TRY_DO(diagnose(cluster, pod, results));
    if (name == std::string_view("weft-agent")) TRY_DO(check_chain(cluster, pod, results));
    if (name == std::string_view("weft-control")) check_mesh_config(cluster, pod, results);
  }
  return Done{};
}

}  // namespace

CheckResult diagnosis_of(const std::string& log) {
  for (const Symptom& symptom : kSymptoms) {
    if (log.find(symptom.text) == std::string::npos) continue;
    return {.health = Health::kBad, .what = {}, .why = symptom.why, .fix = symptom.fix};
  }
  return {};
}

std::string chain_problem(const std::string& log) {
  constexpr std::string_view kGood = "weft-cni is in place";
  constexpr std::string_view kBad = "weft-cni is not in place: ";
  const std::size_t good = log.rfind(kGood);
  const std::size_t bad = log.rfind(kBad);
  if (bad == std::string::npos || (good != std::string::npos && good > bad)) return "";
  const std::size_t begin = bad + kBad.size();
  return log.substr(begin, log.find('\n', begin) - begin);
}

Outcome<Done> check_roles(Cluster& cluster, const std::string& ns, CheckResults& results) {
  const ChartFiles& chart = embedded_chart("weft");
  TRY(const std::vector<Json> documents, read_yaml(chart.at("files/rbac.yaml")));
  std::size_t missing = 0;
  for (const RoleList& list : kRoleLists) {
    for (const Json& rule : member(documents.front(), list.part)) {
      TRY(const std::size_t here, check_rule(cluster, list, ns, rule, results));
      missing += here;
    }
  }
  if (missing == 0) {
    results.push_back({.health = Health::kGood,
                       .what = "weft-control and weft-agent may do all that they must",
                       .why = {},
                       .fix = {}});
  }
  return Done{};
}

Outcome<Done> check_programs(Cluster& cluster, const std::string& ns, CheckResults& results) {
  TRY_DO(check_workload(cluster, ns, kDeployments, "weft-control", results));
  TRY_DO(check_workload(cluster, ns, kDaemonSets, "weft-agent", results));
  TRY_DO(check_workload(cluster, ns, kDaemonSets, "ztunnel", results));
  return check_waypoints(cluster, results);
}

}  // namespace mesh::cli
