#include "cli/kubernetes/describe.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/analyze/finding.h"
#include "cli/analyze/policy.h"
#include "cli/json.h"
#include "cli/kubernetes/cluster.h"
#include "cli/kubernetes/rollout.h"
#include "cli/kubernetes/waypoint.h"
#include "cli/table.h"
#include "cli/template/yaml.h"

namespace mesh::cli {

using Json = nlohmann::json;

namespace {

using manifest::Pod;
using manifest::Service;

std::string join(const Json& words) {
  std::string joined;
  for (const Json& one : words) joined += (joined.empty() ? "" : ", ") + text_of(one);
  return joined.empty() ? "none" : joined;
}

std::string line(const char* what, const std::string& text) {
  return std::string(what) + std::string(18 - std::string_view(what).size(), ' ') + text + "\n";
}

std::string enrolment_text(const Inventory& all, const Pod& pod) {
  const Enrolment enrolment = enrolment_of(all, pod);
  if (pod.host_network) return "no: it runs in its node's network";
  if (enrolment.by.empty()) return "no: neither it nor its namespace is labelled";
  return std::string(enrolment.enrolled ? "yes" : "no") +
         (enrolment.by == "pod" ? ", by its own label" : ", by its namespace's label");
}

std::string waypoint_text(const Inventory& all, const manifest::Metadata& object) {
  const auto choice = waypoint_choice(all, object);
  if (!choice) return "none";
  const auto* gateway = all.find<manifest::Gateway>(choice->ns, choice->name);
  return choice->ns + "/" + choice->name + (gateway == nullptr ? ", which does not exist" : "") +
         (choice->by_object ? ", by its own label" : ", by its namespace's label");
}

std::vector<std::string> services_of(const Inventory& all, const Pod& pod) {
  std::vector<std::string> names;
  for (const auto& service : all.all<Service>()) {
    if (service->metadata.ns == pod.metadata.ns && !service->selector.empty() &&
        selects(service->selector, pod.metadata.labels)) {
      names.push_back(service->metadata.name);
    }
  }
  return names;
}

Json findings_of(const Inventory& all, const std::string& object) {
  Json list = Json::array();
  for (const Finding& one : analyze(all)) {
    if (one.object != object) continue;
    list.push_back({{"code", one.code}, {"message", one.message}, {"fix", one.fix}});
  }
  return list;
}

std::string findings_text(const Json& findings) {
  std::string lines;
  for (const Json& one : findings) {
    lines += "  " + text(one, "code") + ": " + text(one, "message") +
             "\n    fix: " + text(one, "fix") + "\n";
  }
  return lines.empty() ? "" : "Findings\n" + lines;
}

template <class Route>
void add_routes(const Inventory& all, const char* kind, const Service& service,
                std::vector<std::string>& names) {
  for (const auto& route : all.all<Route>()) {
    for (const manifest::ParentRef& parent : route->parents) {
      const std::string& ns = parent.ns.empty() ? route->metadata.ns : parent.ns;
      if (parent.kind != "Service" || parent.name != service.metadata.name ||
          ns != service.metadata.ns) {
        continue;
      }
      names.push_back(std::string(kind) + " " + route->metadata.ns + "/" + route->metadata.name);
      break;
    }
  }
}

// Facts of an object; null when it is not there. And how they are shown.
using Facts = Json (*)(const Inventory&, const std::string& ns, const std::string& name);
using Shown = std::string (*)(const Json&);

int show(const Session& session, const std::string& name, Facts facts_of, Shown shown) {
  auto cluster = open_cluster(session);
  if (!cluster) return complain(cluster.error());
  const std::string ns = session.ns.empty() ? cluster->default_namespace() : session.ns;
  Inventory all;
  if (const auto read = all.add_cluster(*cluster); !read) return complain(read.error());
  const Json facts = facts_of(all, ns, name);
  if (facts.is_null()) return complain("there is no " + ns + "/" + name);
  print(session, facts, shown(facts));
  return kOk;
}

Json policies_of(const Inventory& all, const Pod& pod) {
  Json list = Json::array();
  for (const AppliedPolicy& one : policies_for(all, pod)) {
    const auto& policy = *one.policy;
    if (!one.refused.empty()) {
      list.push_back({{"action", "REFUSED"},
                      {"name", policy.metadata.name + "." + policy.metadata.ns},
                      {"enforcedBy", one.by},
                      {"rules", {"it cannot be read; " + one.refused}}});
      continue;
    }
    list.push_back({{"action", action_name(policy.action)},
                    {"name", policy.metadata.name + "." + policy.metadata.ns},
                    {"enforcedBy", one.by},
                    {"rules", rule_lines(policy)}});
  }
  return list;
}

Json policies_of_pod(const Inventory& all, const std::string& ns, const std::string& name) {
  const auto* pod = all.find<Pod>(ns, name);
  return pod == nullptr ? Json() : policies_of(all, *pod);
}

Outcome<std::vector<std::vector<std::string>>> program_rows(Cluster& cluster,
                                                            const std::string& ns) {
  std::vector<std::vector<std::string>> rows = {{"PROGRAM", "VERSION", "STATE"}};
  for (const auto& [type, name] :
       {std::pair(kDeployments, "weft-control"), std::pair(kDaemonSets, "weft-agent"),
        std::pair(kDaemonSets, "ztunnel")}) {
    TRY(const Json workload, cluster.get(type.path(ns, name)));
    if (workload.is_null()) {
      rows.push_back({name, "", "not there"});
      continue;
    }
    const std::string progress = progress_of(workload).text;
    rows.push_back({name, label(workload, "app.kubernetes.io/version"),
                    progress.substr(progress.find(": ") + 2)});
  }
  return rows;
}

Outcome<int> show_status(const Session& session) {
  TRY(Cluster cluster, open_cluster(session));
  const std::string ns = session.ns.empty() ? "weft-system" : session.ns;
  TRY(const auto programs, program_rows(cluster, ns));
  Inventory all;
  TRY_DO(all.add_cluster(cluster));
  std::vector<std::vector<std::string>> spaces = {{"NAMESPACE", "PODS IN THE MESH", "WAYPOINT"}};
  for (const auto& space : all.all<manifest::Namespace>()) {
    std::size_t pods = 0, enrolled = 0;
    for (const auto& pod : all.all<Pod>()) {
      if (pod->metadata.ns != space->metadata.name) continue;
      ++pods;
      enrolled += enrolment_of(all, *pod.object).enrolled ? 1 : 0;
    }
    const std::string waypoint(mesh_label(space->metadata, "use-waypoint"));
    if (enrolled == 0 && waypoint.empty()) continue;
    spaces.push_back(
        {space->metadata.name, std::to_string(enrolled) + " of " + std::to_string(pods), waypoint});
  }
  Json report = {{"programs", Json::array()}, {"namespaces", Json::array()}};
  for (std::size_t i = 1; i < programs.size(); ++i) {
    report["programs"].push_back(
        {{"name", programs[i][0]}, {"version", programs[i][1]}, {"state", programs[i][2]}});
  }
  for (std::size_t i = 1; i < spaces.size(); ++i) {
    report["namespaces"].push_back(
        {{"name", spaces[i][0]}, {"enrolled", spaces[i][1]}, {"waypoint", spaces[i][2]}});
  }
  print(session, report, table(programs) + "\n" + table(spaces));
  return kOk;
}

}  // namespace

Json pod_facts(const Inventory& all, const std::string& ns, const std::string& name) {
  const auto* pod = all.find<Pod>(ns, name);
  if (pod == nullptr) return Json();
  return {
      {"pod", ns + "/" + name},
      {"node", pod->node_name},
      {"inMesh", enrolment_text(all, *pod)},
      {"identity", "spiffe://" + all.trust_domain() + "/ns/" + ns + "/sa/" + pod->service_account},
      {"services", services_of(all, *pod)},
      {"waypoint", waypoint_text(all, pod->metadata)},
      {"mutualTls", mtls_of(all, *pod)},
      {"policies", policies_of(all, *pod)},
      {"findings", findings_of(all, "Pod " + ns + "/" + name)}};
}

std::string pod_text(const Json& facts) {
  const std::string node = text(facts, "node");
  return line("Pod", text(facts, "pod")) + line("Node", node.empty() ? "none yet" : node) +
         line("In the mesh", text(facts, "inMesh")) + line("Identity", text(facts, "identity")) +
         line("Services", join(member(facts, "services"))) +
         line("Waypoint", text(facts, "waypoint")) + line("Mutual TLS", text(facts, "mutualTls")) +
         "Policies\n" + authz_text(member(facts, "policies")) +
         findings_text(member(facts, "findings"));
}

Json service_facts(const Inventory& all, const std::string& ns, const std::string& name) {
  const auto* service = all.find<Service>(ns, name);
  if (service == nullptr) return Json();
  std::vector<std::string> ports;
  for (const manifest::ServicePort& one : service->ports) {
    ports.push_back(std::to_string(one.port) + (one.name.empty() ? "" : " " + one.name) +
                    (one.app_protocol.empty() ? "" : " (" + one.app_protocol + ")"));
  }
  std::vector<std::string> pods;
  for (const auto& pod : all.all<Pod>()) {
    if (pod->metadata.ns != ns || service->selector.empty()) continue;
    if (!selects(service->selector, pod->metadata.labels)) continue;
    pods.push_back(pod->metadata.name + (pod->ready.value_or(false) ? "" : " (not ready)") +
                   (enrolment_of(all, *pod.object).enrolled ? "" : " (not in the mesh)"));
  }
  std::vector<std::string> routes;
  add_routes<manifest::HttpRoute>(all, "HTTPRoute", *service, routes);
  add_routes<manifest::GrpcRoute>(all, "GRPCRoute", *service, routes);
  add_routes<manifest::TcpRoute>(all, "TCPRoute", *service, routes);
  add_routes<manifest::TlsRoute>(all, "TLSRoute", *service, routes);
  return {{"service", ns + "/" + name},
          {"ports", ports},
          {"pods", pods},
          {"waypoint", waypoint_text(all, service->metadata)},
          {"routes", routes},
          {"findings", findings_of(all, "Service " + ns + "/" + name)}};
}

std::string service_text(const Json& facts) {
  return line("Service", text(facts, "service")) + line("Ports", join(member(facts, "ports"))) +
         line("Pods", join(member(facts, "pods"))) + line("Waypoint", text(facts, "waypoint")) +
         line("Routes", join(member(facts, "routes"))) + findings_text(member(facts, "findings"));
}

std::string authz_text(const Json& policies) {
  std::vector<std::vector<std::string>> rows = {
      {"ACTION", "AuthorizationPolicy", "ENFORCED BY", "RULES"}};
  for (const Json& one : policies) {
    const Json& rules = member(one, "rules");
    rows.push_back({text(one, "action"), text(one, "name"), text(one, "enforcedBy"),
                    rules.empty() ? "none: nothing matches" : text_of(rules[0])});
    for (std::size_t i = 1; i < rules.size(); ++i)
      rows.push_back({" ", " ", " ", text_of(rules[i])});
  }
  return rows.size() == 1 ? "No policies apply: everything that may connect is allowed.\n"
                          : table(rows);
}

int describe_pod(const Session& session, const std::string& name) {
  return show(session, name, pod_facts, pod_text);
}

int describe_service(const Session& session, const std::string& name) {
  return show(session, name, service_facts, service_text);
}

int authz_check(const Session& session, const std::string& pod) {
  return show(session, pod, policies_of_pod, authz_text);
}

int status(const Session& session) {
  const auto shown = show_status(session);
  return shown ? *shown : complain(shown.error());
}

}  // namespace mesh::cli
