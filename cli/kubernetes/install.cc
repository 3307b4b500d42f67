#include "cli/kubernetes/install.h"

#include <cstdio>
#include <thread>

#include "cli/json.h"
#include "cli/kubernetes/plan.h"
#include "cli/kubernetes/rollout.h"
#include "cli/lab/files.h"
#include "cli/template/chart.h"
#include "cli/template/yaml.h"

namespace mesh::cli {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::chrono::milliseconds kAskAgain{200};

std::string release_labels(const InstallOptions& options) {
  return "app.kubernetes.io/part-of=weft,app.kubernetes.io/managed-by=weft,"
         "app.kubernetes.io/instance=" +
         options.name;
}

std::string record_name(const InstallOptions& options) { return options.name + "-release"; }

Json labels_of(const InstallOptions& options) {
  return {{"app.kubernetes.io/part-of", "weft"},
          {"app.kubernetes.io/managed-by", "weft"},
          {"app.kubernetes.io/instance", options.name}};
}

Outcome<Json> given_values(const InstallOptions& options, Json values) {
  for (const std::string& path : options.files) {
    TRY(const std::string body, lab::read_file(path));
    const auto documents = read_yaml(body);
    if (!documents) return problem(path + ":" + documents.error());
    for (const Json& one : *documents) merge_values(values, one);
  }
  for (const std::string& assignments : options.sets) TRY_DO(set_values(values, assignments));
  return values;
}

// Everything of the release: its namespace first, what it was made with last.
Outcome<std::vector<Json>> objects_of(const InstallOptions& options, const Json& values) {
  TRY(std::vector<Json> objects,
      render_chart(embedded_chart("weft"), values, {.name = options.name, .ns = options.ns}));
  // The agent and ztunnel need more than pod security's default lets pass.
  objects.insert(objects.begin(),
                 Json{{"apiVersion", "v1"},
                      {"kind", "Namespace"},
                      {"metadata",
                       {{"name", options.ns},
                        {"labels", {{"pod-security.kubernetes.io/enforce", "privileged"}}}}}});
  objects.push_back(Json{
      {"apiVersion", "v1"},
      {"kind", "ConfigMap"},
      {"metadata",
       {{"name", record_name(options)}, {"namespace", options.ns}, {"labels", labels_of(options)}}},
      {"data", {{"version", WEFT_VERSION}, {"values", to_yaml(values) + "\n"}}}});
  return objects;
}

// Null when there is no release of ours; errors: it is Helm's.
Outcome<Json> record_of(Cluster& cluster, const InstallOptions& options) {
  TRY(const Json control, cluster.get(kDeployments.path(options.ns, "weft-control")));
  if (label(control, "app.kubernetes.io/managed-by") == "Helm") {
    return problem("Helm installed Weft in " + options.ns +
                   ": use helm upgrade and helm uninstall");
  }
  return cluster.get("/api/v1/namespaces/" + options.ns + "/configmaps/" + record_name(options));
}

void show(const Session& session, const Plan& plan) {
  print(session, plan.json(), plan.table() + std::to_string(plan.changes()) + " to do\n");
}

Outcome<int> apply(const Session& session, Cluster& cluster, const InstallOptions& options,
                   Json values) {
  TRY(const std::vector<Json> objects, objects_of(options, values));
  auto plan = plan_of(cluster, objects, release_labels(options), options.force);
  if (!plan) {
    const bool conflict = plan.error().find("409") != std::string::npos;
    return problem(plan.error() + (conflict ? "\nTo take the fields over: --force-conflicts" : ""));
  }
  show(session, *plan);
  if (options.dry_run) return kOk;
  TRY_DO(carry_out(cluster, *plan, options.force));
  if (!options.wait) return kOk;
  return wait_for_rollout(cluster, objects, options.timeout);
}

// What would be applied, for people without a cluster at hand, or who apply it by other means.
Outcome<int> print_objects(const Session& session, const InstallOptions& options,
                           const Json& values) {
  TRY(const std::vector<Json> objects, objects_of(options, values));
  if (session.output == "json") {
    std::printf(
        "%s\n",
        to_text(Json{{"apiVersion", "v1"}, {"kind", "List"}, {"items", objects}}, 2).c_str());
    return kOk;
  }
  for (const Json& one : objects) std::printf("---\n%s\n", to_yaml(one).c_str());
  return kOk;
}

Outcome<int> run_install(const Session& session, const InstallOptions& options) {
  TRY(Json values, given_values(options, Json::object()));
  if (options.dry_run && session.output != "table") return print_objects(session, options, values);
  TRY(Cluster cluster, open_cluster(session));
  TRY(const Json record, record_of(cluster, options));
  if (!record.is_null()) {
    return problem("Weft " + text(member(record, "data"), "version") + " is installed in " +
                   options.ns + ": use weft upgrade");
  }
  return apply(session, cluster, options, std::move(values));
}

Outcome<int> run_upgrade(const Session& session, const InstallOptions& options) {
  TRY(Cluster cluster, open_cluster(session));
  TRY(const Json record, record_of(cluster, options));
  if (record.is_null()) {
    return problem("there is no release " + options.name + " in " + options.ns +
                   ": use weft install");
  }
  Json values = Json::object();
  if (!options.reset_values) {
    const auto before = read_yaml(text(member(record, "data"), "values"));
    if (!before) return problem("the values in " + object_name(record) + ": " + before.error());
    if (!before->empty()) values = before->front();
  }
  TRY(values, given_values(options, std::move(values)));
  return apply(session, cluster, options, std::move(values));
}

Outcome<int> wait_until_gone(Cluster& cluster, const InstallOptions& options) {
  const auto deadline = Clock::now() + options.timeout;
  std::size_t said = 0;
  for (;;) {
    TRY(const std::vector<Json> pods,
        cluster.list(kPods.path(options.ns), release_labels(options)));
    if (pods.empty()) return kOk;
    if (pods.size() != said) std::fprintf(stderr, "%zu pods are ending\n", pods.size());
    said = pods.size();
    if (Clock::now() >= deadline) {
      complain("timed out: " + object_name(pods.front()) + " has not ended");
      return kTimedOut;
    }
    std::this_thread::sleep_for(kAskAgain);
  }
}

Outcome<int> run_uninstall(const Session& session, const InstallOptions& options) {
  TRY(Cluster cluster, open_cluster(session));
  TRY(const Json record, record_of(cluster, options));
  TRY(Plan plan, removal_of(cluster, release_labels(options)));
  if (options.purge) {
    TRY(Json ns, cluster.get(kNamespaces.path({}, options.ns)));
    if (!ns.is_null()) {
      plan.steps.push_back({.action = Step::Action::kRemove, .object = std::move(ns)});
    }
  }
  if (record.is_null() && plan.steps.empty()) {
    return problem("there is no release " + options.name + " in " + options.ns);
  }
  show(session, plan);
  if (options.dry_run) return kOk;
  TRY_DO(carry_out(cluster, plan, false));
  if (!options.purge) {
    std::fprintf(stderr, "namespace %s stays, and in it the root's key; --purge removes them\n",
                 options.ns.c_str());
  }
  return options.wait ? wait_until_gone(cluster, options) : Outcome<int>(kOk);
}

int finished(const Outcome<int>& outcome) { return outcome ? *outcome : complain(outcome.error()); }

}  // namespace

int install(const Session& session, const InstallOptions& options) {
  return finished(run_install(session, options));
}

int upgrade(const Session& session, const InstallOptions& options) {
  return finished(run_upgrade(session, options));
}

int uninstall(const Session& session, const InstallOptions& options) {
  return finished(run_uninstall(session, options));
}

}  // namespace mesh::cli
