#include "cli/kubernetes/waypoint.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <thread>

#include "cli/json.h"
#include "cli/table.h"
#include "cli/template/yaml.h"

namespace mesh::cli {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::chrono::milliseconds kAskAgain{200};
constexpr unsigned kGap = 5;  // between columns, as istioctl's

bool is_waypoint_class(const std::string& name) {
  return name == "weft-waypoint" || name == "istio-waypoint";
}

Outcome<Cluster> open(const Session& session) { return open_cluster(session); }

std::string chosen_namespace(const Session& session, const Cluster& cluster) {
  return session.ns.empty() ? cluster.default_namespace() : session.ns;
}

Outcome<std::vector<Json>> waypoints_in(Cluster& cluster, const std::string& ns) {
  TRY(std::vector<Json> gateways, cluster.list(kGateways.path(ns)));
  std::erase_if(gateways, [](const Json& one) {
    return !is_waypoint_class(text(member(one, "spec"), "gatewayClassName"));
  });
  return gateways;
}

// Programmed means that it has an address and pods, ready or not. Those of a Deployment that
// control has made can be asked.
Outcome<bool> has_ready_pod(Cluster& cluster, const std::string& ns, const std::string& name) {
  TRY(const Json deployment, cluster.get(kDeployments.path(ns, name)));
  if (deployment.is_null()) return true;  // somebody runs it otherwise
  const Json& available = member(member(deployment, "status"), "availableReplicas");
  return available.is_number_integer() && available > 0;
}

// True: it is programmed, and a pod of it is ready. False: not within the time; `last` is how it
// was.
Outcome<bool> wait_until_programmed(Cluster& cluster, const std::string& ns,
                                    const std::string& name, std::chrono::milliseconds timeout,
                                    WaypointState& last) {
  const auto deadline = Clock::now() + timeout;
  for (;;) {
    TRY(const Json gateway, cluster.get(kGateways.path(ns, name)));
    if (gateway.is_null()) return problem("waypoint " + ns + "/" + name + " is gone");
    last = waypoint_state(gateway);
    if (last.programmed == "True") {
      TRY(const bool ready, has_ready_pod(cluster, ns, name));
      if (ready) return true;
      last.reason = "NoReadyPod";
      last.message = "no pod of its Deployment is ready";
    }
    if (Clock::now() >= deadline) return false;
    std::this_thread::sleep_for(kAskAgain);
  }
}

Outcome<Done> enroll(Cluster& cluster, const std::string& ns, const WaypointOptions& options) {
  TRY(const Json object, cluster.get(kNamespaces.path({}, ns)));
  if (object.is_null()) return problem("there is no namespace " + ns);
  const std::string before = label(object, "istio.io/use-waypoint");
  if (!before.empty() && before != options.name && !options.overwrite) {
    return problem("the namespace (" + ns + ") already has an enrolled waypoint (" + before +
                   "); use --overwrite to replace it");
  }
  const kube::Target target{.type = kNamespaces, .ns = {}, .name = ns};
  TRY_DO(cluster.patch(target,
                       {{"metadata", {{"labels", {{"istio.io/use-waypoint", options.name}}}}}}));
  std::printf("✅ namespace %s labeled with \"istio.io/use-waypoint: %s\"\n", ns.c_str(),
              options.name.c_str());
  return Done{};
}

Outcome<Done> warn_if_not_ambient(Cluster& cluster, const std::string& ns) {
  TRY(const Json object, cluster.get(kNamespaces.path({}, ns)));
  if (label(object, "istio.io/dataplane-mode") == "ambient" ||
      label(object, "weft.dev/dataplane-mode") == "ambient") {
    return Done{};
  }
  std::fprintf(stderr,
               "Warning: namespace is not enrolled in ambient. Consider running\t"
               "kubectl label namespace %s istio.io/dataplane-mode=ambient\n",
               ns.c_str());
  return Done{};
}

void print_states(const Session& session, const std::vector<WaypointState>& states,
                  const std::vector<std::string>& heading,
                  const std::function<std::vector<std::string>(const WaypointState&)>& row,
                  bool with_namespace) {
  if (session.output != "table") {
    Json list = Json::array();
    for (const WaypointState& one : states) {
      list.push_back({{"namespace", one.ns},
                      {"name", one.name},
                      {"revision", one.revision},
                      {"trafficType", one.traffic},
                      {"programmed", one.programmed},
                      {"reason", one.reason},
                      {"message", one.message}});
    }
    print(session, list, "");
    return;
  }
  if (states.empty()) {
    std::printf("No waypoints found.\n");
    return;
  }
  std::vector<std::vector<std::string>> rows = {heading};
  for (const WaypointState& one : states) {
    rows.push_back(row(one));
    if (with_namespace) rows.back().insert(rows.back().begin(), one.ns);
  }
  if (with_namespace) rows.front().insert(rows.front().begin(), "NAMESPACE");
  std::printf("%s", table(rows, kGap).c_str());
}

int finished(const Outcome<int>& outcome) { return outcome ? *outcome : complain(outcome.error()); }

Outcome<int> list_waypoints(const Session& session, const WaypointOptions& options) {
  TRY(Cluster cluster, open(session));
  const std::string ns = options.all_namespaces ? "" : chosen_namespace(session, cluster);
  TRY(const std::vector<Json> gateways, waypoints_in(cluster, ns));
  std::vector<WaypointState> states;
  for (const Json& one : gateways) states.push_back(waypoint_state(one));
  print_states(
      session, states, {"NAME", "REVISION", "TRAFFIC TYPE", "PROGRAMMED"},
      [](const WaypointState& one) {
        return std::vector<std::string>{one.name, one.revision, one.traffic, one.programmed};
      },
      options.all_namespaces);
  return kOk;
}

Outcome<int> show_status(const Session& session, const WaypointOptions& options) {
  TRY(Cluster cluster, open(session));
  const std::string ns = options.all_namespaces ? "" : chosen_namespace(session, cluster);
  TRY(const std::vector<Json> gateways, waypoints_in(cluster, ns));
  std::vector<WaypointState> states;
  const auto deadline = Clock::now() + options.timeout;
  bool ready = true;
  for (const Json& one : gateways) {
    WaypointState state = waypoint_state(one);
    if (options.wait && state.programmed != "True") {
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
      TRY_DO(wait_until_programmed(cluster, namespace_of(one), name_of(one),
                                   std::max(left, std::chrono::milliseconds(0)), state));
    }
    ready = ready && state.programmed == "True";
    states.push_back(std::move(state));
  }
  print_states(
      session, states, {"NAME", "STATUS", "TYPE", "REASON", "MESSAGE"},
      [](const WaypointState& one) {
        return std::vector<std::string>{one.name, one.programmed, "Programmed", one.reason,
                                        one.message};
      },
      options.all_namespaces);
  return ready || !options.wait ? kOk : kTimedOut;
}

}  // namespace

Json waypoint_gateway(const WaypointOptions& options, const std::string& ns) {
  Json metadata = {{"name", options.name}};
  if (!ns.empty()) metadata["namespace"] = ns;
  if (!options.traffic.empty()) metadata["labels"]["istio.io/waypoint-for"] = options.traffic;
  if (!options.revision.empty()) metadata["labels"]["istio.io/rev"] = options.revision;
  return {{"apiVersion", "gateway.networking.k8s.io/v1"},
          {"kind", "Gateway"},
          {"metadata", metadata},
          {"spec",
           {{"gatewayClassName", options.class_name},
            {"listeners", {{{"name", "mesh"}, {"port", 15008}, {"protocol", "HBONE"}}}}}}};
}

WaypointState waypoint_state(const Json& gateway) {
  WaypointState state{.ns = namespace_of(gateway),
                      .name = name_of(gateway),
                      .revision = label(gateway, "istio.io/rev"),
                      .traffic = label(gateway, "istio.io/waypoint-for"),
                      .reason = {},
                      .message = {}};
  if (state.revision.empty()) state.revision = "default";
  if (state.traffic.empty()) state.traffic = "service";
  for (const Json& condition : member(member(gateway, "status"), "conditions")) {
    if (text(condition, "type") != "Programmed") continue;
    state.programmed = text(condition, "status");
    state.reason = text(condition, "reason");
    state.message = text(condition, "message");
  }
  return state;
}

int waypoint_generate(const Session& session, const WaypointOptions& options) {
  const Json gateway = waypoint_gateway(options, session.ns);
  print(session, gateway, to_yaml(gateway) + "\n");
  return kOk;
}

Outcome<int> apply_waypoint(Cluster& cluster, const std::string& ns,
                            const WaypointOptions& options) {
  if (options.enroll_namespace) {
    TRY_DO(warn_if_not_ambient(cluster, ns));
    const kube::Target target{.type = kGateways, .ns = ns, .name = options.name};
    TRY(const Json there, cluster.get(target.type.path(ns, options.name)));
    const std::string class_name = text(member(there, "spec"), "gatewayClassName");
    if (!there.is_null() && !is_waypoint_class(class_name)) {
      return problem("Gateway " + ns + "/" + options.name + " is there, and no waypoint");
    }
  }
  TRY_DO(cluster.apply(waypoint_gateway(options, ns), Cluster::Mode::kReally, /*force=*/true));
  std::printf("✅ waypoint %s/%s applied\n", ns.c_str(), options.name.c_str());
  if (options.wait) {
    WaypointState last;
    TRY(const bool ready, wait_until_programmed(cluster, ns, options.name, options.timeout, last));
    if (!ready) {
      complain("waypoint " + ns + "/" + options.name + " is not ready in time: Programmed is " +
               last.programmed + (last.reason.empty() ? "" : ", " + last.reason) +
               (last.message.empty() ? "" : ": " + last.message));
      return kTimedOut;
    }
    std::printf("✅ waypoint %s/%s is ready!\n", ns.c_str(), options.name.c_str());
  }
  if (options.enroll_namespace) TRY_DO(enroll(cluster, ns, options));
  return kOk;
}

Outcome<int> delete_waypoints(Cluster& cluster, const std::string& ns,
                              const WaypointOptions& options) {
  std::vector<std::string> names = options.names;
  if (options.all && !names.empty()) {
    return problem("cannot specify waypoint names when deleting all waypoints");
  }
  if (names.empty()) {
    if (!options.all && options.revision.empty()) {
      return problem("name the waypoints to delete, or give --all or --revision");
    }
    TRY(const std::vector<Json> gateways, waypoints_in(cluster, ns));
    for (const Json& one : gateways) {
      if (options.all || waypoint_state(one).revision == options.revision) {
        names.push_back(name_of(one));
      }
    }
    if (names.empty()) std::printf("No waypoints found.\n");
  }
  bool missed = false;
  for (const std::string& name : names) {
    TRY(const Json there, cluster.get(kGateways.path(ns, name)));
    if (!is_waypoint_class(text(member(there, "spec"), "gatewayClassName"))) {
      complain("there is no waypoint " + ns + "/" + name);
      missed = true;
      continue;
    }
    TRY_DO(cluster.remove({.type = kGateways, .ns = ns, .name = name}));
    std::printf("waypoint %s/%s deleted\n", ns.c_str(), name.c_str());
  }
  return missed ? kFailed : kOk;
}

int waypoint_apply(const Session& session, const WaypointOptions& options) {
  auto cluster = open(session);
  if (!cluster) return complain(cluster.error());
  return finished(apply_waypoint(*cluster, chosen_namespace(session, *cluster), options));
}

int waypoint_delete(const Session& session, const WaypointOptions& options) {
  auto cluster = open(session);
  if (!cluster) return complain(cluster.error());
  return finished(delete_waypoints(*cluster, chosen_namespace(session, *cluster), options));
}

int waypoint_list(const Session& session, const WaypointOptions& options) {
  return finished(list_waypoints(session, options));
}

int waypoint_status(const Session& session, const WaypointOptions& options) {
  return finished(show_status(session, options));
}

}  // namespace mesh::cli
