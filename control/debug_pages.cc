#include "control/debug_pages.h"

#include <charconv>

#include <nlohmann/json.hpp>

#include "control/applied.h"
#include "control/kubernetes/replica.h"
#include "control/mesh_state.h"
#include "control/status_page.h"
#include "control/tokens.h"
#include "control/wire_json.h"

namespace mesh::control {
namespace {

using nlohmann::json;

HttpResponse json_page(const json& value) {
  return {.body = value.dump(1, ' ', false, json::error_handler_t::replace) + "\n"};
}

HttpResponse text_page(int status, std::string text) {
  return {.status = status, .content_type = "text/plain; charset=utf-8", .body = std::move(text)};
}

std::string metric(std::string_view name, std::string_view type, std::string_view help,
                   std::string_view labels, std::uint64_t value) {
  std::string text;
  text.append("# HELP ").append(name).append(" ").append(help);
  text.append("\n# TYPE ").append(name).append(" ").append(type).append("\n");
  text.append(name).append(labels).append(" ").append(std::to_string(value)).append("\n");
  return text;
}

}  // namespace

HttpResponse DebugPages::answer(const admin::Request& request) {
  const bool changes = request.path == "/debug/ca/rotate";
  if (changes != (request.method == "POST")) {
    return text_page(405, changes ? "POST it\n" : "nothing to post here\n");
  }
  if (request.path == "/ready") return ready();
  if (request.path == "/metrics") return metrics();
  if (!request.path.starts_with("/debug/")) return text_page(404, "no such page\n");
  if (!may_read(request)) {
    return text_page(401, "needs the bearer token in STATE/debug-token\n");
  }
  return debug(request);
}

HttpResponse DebugPages::debug(const admin::Request& request) {
  if (settle_) settle_();
  if (request.path == "/debug/sync") return sync();
  if (request.path == "/debug/explain") return explain(request);
  if (request.path == "/debug/problems") return problems();
  if (request.path == "/debug/status") {
    const auto snapshot = hub_.snapshot();
    if (snapshot == nullptr) return text_page(503, "nothing has been read yet\n");
    return {.body = status_page(*snapshot->world, hub_.settings(), hub_.problems())};
  }
  if (request.path == "/debug/ca" || request.path == "/debug/ca/rotate") return authority(request);
  if (request.path == "/debug/replica") return replica();
  if (request.path == "/debug/applied") return applied_page(request);
  if (request.path == "/debug/workloads") {
    return resources(xds::ResourceType::kAddress, "workload");
  }
  if (request.path == "/debug/services") return resources(xds::ResourceType::kAddress, "service");
  if (request.path == "/debug/policies") return resources(xds::ResourceType::kAuthorization, "");
  return text_page(404, "no such page\n");
}

HttpResponse DebugPages::authority(const admin::Request& request) const {
  if (replica_ == nullptr) return text_page(404, "the authority is in STATE/ca\n");
  if (request.path == "/debug/ca/rotate") {
    const auto asked = replica_->rotate();
    if (!asked) return text_page(409, asked.error() + "\n");
  }
  const auto status = replica_->ca_status();
  nlohmann::json waiting = nlohmann::json::array();
  for (const auto& one : replica_->ca_waiting()) {
    if (waiting.size() == 1000) break;
    waiting.push_back({{"who", one.who}, {"what", one.what}});
  }
  return json_page({{"waitingFor", std::move(waiting)},
                    {"pluggedIn", status.plugged_in},
                    {"state", status.state},
                    {"since", status.since},
                    {"expires", status.expires},
                    {"resourceVersion", status.version},
                    {"problem", status.problem}});
}

bool DebugPages::may_read(const admin::Request& request) const {
  const std::string_view shown = request.header("authorization");
  const std::string shared = replica_ == nullptr ? std::string() : replica_->debug_token();
  return equal_secret(shown, "Bearer " + token_) ||
         (!shared.empty() && equal_secret(shown, "Bearer " + shared));
}

HttpResponse DebugPages::applied_page(const admin::Request& request) const {
  AppliedQuestion question{.kind = request.parameter("kind").value_or(""),
                           .ns = request.parameter("namespace").value_or(""),
                           .name = request.parameter("name").value_or(""),
                           .resource_version = request.parameter("resourceVersion").value_or("")};
  const std::string version = request.parameter("version").value_or("0");
  const auto [end, error] =
      std::from_chars(version.data(), version.data() + version.size(), question.version);
  if (question.name.empty() || error != std::errc() || end != version.data() + version.size()) {
    return text_page(400, "needs kind, name, and namespace, resourceVersion, version if any\n");
  }
  std::optional<MeshMapVersion> mesh;
  if (replica_ != nullptr && !replica_->mesh_map().empty()) {
    mesh = {.name = replica_->mesh_map(), .version = replica_->mesh_map_version()};
  }
  const Applied answer = applied(hub_, question, mesh);
  if (!answer.is_kind && question.kind == "ConfigMap") {
    return json_page({{"known", false},
                      {"notRead", mesh ? "the mesh's configuration is in ConfigMap " + mesh->name
                                       : "the mesh's configuration is in no ConfigMap: control "
                                         "runs without --mesh-config-map"}});
  }
  if (!answer.is_kind) return text_page(404, "objects of this kind are not read here\n");
  return json_page({{"known", answer.known},
                    {"version", answer.version},
                    {"current", answer.current},
                    {"pending", answer.pending},
                    {"absent", answer.absent},
                    {"refused", answer.refused}});
}

HttpResponse DebugPages::replica() const {
  if (replica_ == nullptr) return text_page(404, "the store is a folder\n");
  const auto lease = replica_->election();
  return json_page(
      {{"writes", lease.held}, {"holder", lease.holder}, {"problems", replica_->problems()}});
}

HttpResponse DebugPages::ready() const {
  if (replica_ != nullptr && replica_->ca_status().expires == 0) {
    const std::string problem = replica_->ca_status().problem;
    return text_page(503, "not ready: there is no authority to sign certificates" +
                              (problem.empty() ? "" : ": " + problem) + "\n");
  }
  if (hub_.snapshot() != nullptr) return text_page(200, "ready\n");
  for (const manifest::Problem& problem : hub_.problems()) {
    if (problem.severity == manifest::Severity::kError) {
      return text_page(503, "not ready: the manifests have errors: " + problem.to_string() + "\n");
    }
  }
  for (const manifest::Problem& problem : hub_.problems()) {
    if (replica_ == nullptr || problem.file != "kubernetes") continue;
    return text_page(503, "not ready: " + problem.to_string() + "\n");
  }
  return text_page(503, "not ready: the manifests have not been read yet\n");
}

HttpResponse DebugPages::metrics() const {
  const Counters counters = hub_.counters();
  const auto snapshot = hub_.snapshot();
  const auto version = snapshot == nullptr ? 0 : snapshot->version;
  std::uint64_t errors = 0, mesh_errors = 0;
  for (const manifest::Problem& problem : hub_.problems()) {
    if (problem.severity != manifest::Severity::kError) continue;
    ++errors;
    mesh_errors += problem.object == manifest::kMeshConfigObject ? 1 : 0;
  }
  std::uint64_t connected = 0;
  std::uint64_t behind = 0;
  for (const NodeStatus& node : hub_.nodes()) {
    connected += node.connected ? 1 : 0;
    behind += node.pending || node.acked_version < version ? 1 : 0;
  }
  std::string text;
  const auto add = [&](const char* name, const char* type, const char* help, std::uint64_t value) {
    text += metric(name, type, help, "", value);
  };
  text += metric("weft_build", "gauge", "The running version.",
                 "{component=\"control\",tag=\"" WEFT_VERSION "\"}", 1);
  add("weft_control_snapshot_version", "gauge", "Number of the snapshot that is served.", version);
  add("weft_control_manifest_errors", "gauge", "Errors in the manifests now.", errors);
  add("weft_control_mesh_config_errors", "gauge", "Errors in the mesh's configuration now.",
      mesh_errors);
  add("weft_control_nodes_connected", "gauge", "Nodes with a discovery stream.", connected);
  add("weft_control_nodes_behind", "gauge", "Nodes without the newest snapshot.", behind);
  const Translation::Work work = hub_.work();
  add("weft_control_translated_objects_total", "counter",
      "Pods, entries and slices that were translated.", work.objects);
  add("weft_control_translated_services_total", "counter", "Services that were translated.",
      work.services);
  add("weft_control_translated_policies_total", "counter", "Policies that were translated.",
      work.policies);
  add("weft_control_streams_total", "counter", "Discovery streams opened.", counters.streams);
  add("weft_control_responses_total", "counter", "Discovery responses sent.", counters.responses);
  add("weft_control_resources_total", "counter", "Resources sent.", counters.resources);
  add("weft_control_nacks_total", "counter", "Responses that a node refused.", counters.nacks);
  add("weft_control_unauthenticated_total", "counter", "Calls without a node's token.",
      counters.unauthenticated);
  add("weft_control_transport_errors_total", "counter", "Connections that broke TLS or HTTP/2.",
      counters.transport_errors);
  add("weft_control_certificates_total", "counter", "Certificates issued.", counters.certificates);
  add("weft_control_certificates_refused_total", "counter", "Signing requests refused.",
      counters.certificates_refused);
  if (replica_ != nullptr) text += replica_->metrics();
  return {.content_type = "text/plain; version=0.0.4; charset=utf-8", .body = std::move(text)};
}

HttpResponse DebugPages::sync() const {
  const auto snapshot = hub_.snapshot();
  const std::uint64_t version = snapshot == nullptr ? 0 : snapshot->version;
  json nodes = json::array();
  for (const NodeStatus& node : hub_.nodes()) {
    nodes.push_back({{"node", node.node},
                     {"connected", node.connected},
                     {"ackedVersion", node.acked_version},
                     {"pending", node.pending || node.acked_version < version},
                     {"lastNack", node.last_nack},
                     {"pods", node.pods}});
  }
  json proxies = json::array();
  for (const NodeStatus& proxy : hub_.waypoints()) {
    json types = json::object();
    for (const auto& [type, state] : proxy.types) types[type] = state;
    proxies.push_back({{"waypoint", proxy.node.substr(proxy.node.find(' ') + 1)},
                       {"connected", proxy.connected},
                       {"ackedVersion", proxy.acked_version},
                       {"pending", proxy.pending || proxy.acked_version < version},
                       {"lastNack", proxy.last_nack},
                       {"types", std::move(types)}});
  }
  return json_page(
      {{"version", version}, {"nodes", std::move(nodes)}, {"waypoints", std::move(proxies)}});
}

HttpResponse DebugPages::explain(const admin::Request& request) {
  const auto from = request.parameter("from");
  const auto to = request.parameter("to");
  const auto port = net::parse_port(request.parameter("port").value_or(""));
  if (!from || !to || !port) {
    return text_page(400,
                     "needs from=NAMESPACE/POD, to=NAMESPACE/POD, ADDRESS or HOST, and port=N\n");
  }
  const auto snapshot = hub_.snapshot();
  if (snapshot == nullptr) return ready();
  const json answer = explainer_.explain(*snapshot, {.from = *from, .to = *to, .port = *port});
  if (answer.contains("error")) return text_page(404, answer["error"].get<std::string>() + "\n");
  return json_page(answer);
}

HttpResponse DebugPages::problems() const {
  json list = json::array();
  for (const manifest::Problem& problem : hub_.problems()) {
    const bool error = problem.severity == manifest::Severity::kError;
    list.push_back({{"severity", error ? "error" : "warning"},
                    {"file", problem.file},
                    {"line", problem.line},
                    {"object", problem.object},
                    {"field", problem.field},
                    {"message", problem.message},
                    {"inForce", problem.in_force}});
  }
  const auto add = [&](const manifest::ObjectKey& object, std::string text) {
    list.push_back({{"severity", "warning"},
                    {"file", ""},
                    {"line", 0},
                    {"object", object.to_string()},
                    {"field", ""},
                    {"message", std::move(text)},
                    {"inForce", ""}});
  };
  if (const auto snapshot = hub_.snapshot()) {
    for (const PolicyNote& note : snapshot->notes) add(note.object, note.text);
  }
  for (const PolicyNote& note : hub_.notes()) add(note.object, "at a waypoint: " + note.text);
  return json_page({{"problems", std::move(list)}});
}

HttpResponse DebugPages::resources(xds::ResourceType type, std::string_view member) const {
  json list = json::array();
  if (const auto snapshot = hub_.snapshot()) {
    for (const auto& [name, resource] : snapshot->of(type)) {
      json value = to_json(type, *resource);
      if (!member.empty()) {
        if (!value.contains(member)) continue;
        value = json(value[std::string(member)]);
      }
      list.push_back(
          {{"name", name}, {"version", resource->version}, {"resource", std::move(value)}});
    }
  }
  return json_page(list);
}

}  // namespace mesh::control
