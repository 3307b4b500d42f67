#include "cli/kubernetes/plan.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <set>

#include "cli/json.h"
#include "cli/table.h"

namespace mesh::cli {

using Json = nlohmann::json;

namespace {

// Everything that the charts make, in the order to make it in; the namespace and what control makes
// are not removed with them.
const std::array<kube::ResourceType, 14> kReleaseTypes = {{
    {"networking.k8s.io", "v1", "networkpolicies", true},
    {"policy", "v1", "poddisruptionbudgets", true},
    {"", "v1", "serviceaccounts", true},
    {"", "v1", "secrets", true},
    {"", "v1", "configmaps", true},
    {"rbac.authorization.k8s.io", "v1", "clusterroles", false},
    {"rbac.authorization.k8s.io", "v1", "clusterrolebindings", false},
    {"rbac.authorization.k8s.io", "v1", "roles", true},
    {"rbac.authorization.k8s.io", "v1", "rolebindings", true},
    {"", "v1", "services", true},
    {"apps", "v1", "daemonsets", true},
    {"apps", "v1", "deployments", true},
    {"gateway.networking.k8s.io", "v1", "gateways", true},
    {"monitoring.coreos.com", "v1", "podmonitors", true},
}};

const char* name_of_action(Step::Action action) {
  switch (action) {
    case Step::Action::kCreate:
      return "create";
    case Step::Action::kChange:
      return "change";
    case Step::Action::kNone:
      return "keep";
    case Step::Action::kRemove:
      return "remove";
  }
  return "";
}

void strip(Json& object) {
  if (!object.is_object()) return;
  object.erase("status");
  if (!member(object, "metadata").is_object()) return;
  for (const char* key :
       {"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp"}) {
    object["metadata"].erase(key);
  }
}

Outcome<Step> step_for(Cluster& cluster, const Json& object, const std::set<std::string>& coming,
                       bool force) {
  Step step{.object = object};
  TRY(const kube::Target target, cluster.target_of(object));
  TRY(const Json before, cluster.get(target.type.path(target.ns, target.name)));
  if (before.is_null()) {
    step.action = Step::Action::kCreate;
    // Nothing can be tried in a namespace that is not there yet.
    if (coming.contains(target.ns)) return step;
  }
  TRY(const Json after, cluster.apply(object, Cluster::Mode::kDryRun, force));
  if (!before.is_null() && differs(before, after)) step.action = Step::Action::kChange;
  return step;
}

}  // namespace

bool differs(const Json& before, const Json& after) {
  Json one = before;
  Json other = after;
  strip(one);
  strip(other);
  return one != other;
}

std::size_t Plan::changes() const {
  return static_cast<std::size_t>(std::ranges::count_if(
      steps, [](const Step& step) { return step.action != Step::Action::kNone; }));
}

std::string Plan::table() const {
  std::vector<std::vector<std::string>> rows = {{"ACTION", "KIND", "NAMESPACE", "NAME"}};
  for (const Step& step : steps) {
    rows.push_back({name_of_action(step.action), text(step.object, "kind"),
                    namespace_of(step.object), name_of(step.object)});
  }
  return mesh::cli::table(rows);
}

Json Plan::json() const {
  Json list = Json::array();
  for (const Step& step : steps) {
    list.push_back({{"action", name_of_action(step.action)},
                    {"apiVersion", text(step.object, "apiVersion")},
                    {"kind", text(step.object, "kind")},
                    {"namespace", namespace_of(step.object)},
                    {"name", name_of(step.object)}});
  }
  return list;
}

Outcome<Plan> plan_of(Cluster& cluster, const std::vector<Json>& objects, const std::string& labels,
                      bool force) {
  Plan plan;
  std::set<std::string> names;
  std::set<std::string> coming;
  for (const Json& object : objects) {
    TRY(Step step, step_for(cluster, object, coming, force));
    if (step.action == Step::Action::kCreate && text(object, "kind") == "Namespace") {
      coming.insert(name_of(object));
    }
    names.insert(object_name(object));
    plan.steps.push_back(std::move(step));
  }
  TRY(const Plan there, removal_of(cluster, labels));
  for (const Step& step : there.steps) {
    if (!names.contains(object_name(step.object))) plan.steps.push_back(step);
  }
  return plan;
}

Outcome<Plan> removal_of(Cluster& cluster, const std::string& labels) {
  Plan plan;
  for (auto type = kReleaseTypes.rbegin(); type != kReleaseTypes.rend(); ++type) {
    TRY(std::vector<Json> found, cluster.list(type->path(), labels));
    for (Json& object : found) {
      plan.steps.push_back({.action = Step::Action::kRemove, .object = std::move(object)});
    }
  }
  return plan;
}

Outcome<Done> carry_out(Cluster& cluster, const Plan& plan, bool force) {
  for (const Step& step : plan.steps) {
    if (step.action == Step::Action::kRemove) {
      TRY(const kube::Target target, cluster.target_of(step.object));
      TRY_DO(cluster.remove(target));
    } else {
      // What is to be kept, too: so that it is ours, and nobody's change in between stays.
      TRY_DO(cluster.apply(step.object, Cluster::Mode::kReally, force));
    }
    if (step.action != Step::Action::kNone) {
      std::fprintf(stderr, "%sd %s\n",
                   step.action == Step::Action::kCreate   ? "create"
                   : step.action == Step::Action::kChange ? "change"
                                                          : "remove",
                   object_name(step.object).c_str());
    }
  }
  return Done{};
}

}  // namespace mesh::cli
