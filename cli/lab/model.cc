#include "cli/lab/model.h"

#include <nlohmann/json.hpp>

#include "cli/json.h"

namespace mesh::cli::lab {
namespace {

using Json = nlohmann::json;

// Reads of an object: the default where it has another shape.
std::string text(const Json& object, const char* key, const std::string& otherwise = "") {
  const Json& value = member(object, key);
  return value.is_string() ? value.get<std::string>() : otherwise;
}
int number(const Json& object, const char* key, int otherwise) {
  const Json& value = member(object, key);
  if (!value.is_number_integer()) return otherwise;
  return static_cast<int>(std::clamp<std::int64_t>(value.get<std::int64_t>(), 0, 86400));
}

std::unexpected<std::string> wrong(const Document& document, const std::string& what) {
  return problem(document.file + ":" + std::to_string(document.line) + ": " + what);
}

Outcome<std::vector<std::string>> strings(const Document& document, const Json& list,
                                          const std::string& field) {
  std::vector<std::string> result;
  if (list.is_null()) return result;
  if (!list.is_array()) return wrong(document, field + ": not a list");
  for (const Json& item : list) {
    if (!item.is_string()) return wrong(document, field + ": an item is not a string");
    result.push_back(item.get<std::string>());
  }
  return result;
}

Outcome<int> probe_port(const Document& document, const Json& handler, const Json& container) {
  const Json& port = member(handler, "port");
  if (port.is_number_integer()) return number(handler, "port", 0);
  if (port.is_string()) {
    for (const Json& declared : member(container, "ports")) {
      if (text(declared, "name") == port.get<std::string>()) {
        return number(declared, "containerPort", 0);
      }
    }
  }
  return wrong(document, "readinessProbe: port: neither a number nor the name of a containerPort");
}

Outcome<Probe> read_probe(const Document& document, const Json& container) {
  Probe probe;
  const Json& object = member(container, "readinessProbe");
  if (object.is_null()) return probe;
  probe.initial_delay = std::chrono::seconds(number(object, "initialDelaySeconds", 0));
  probe.period = std::chrono::seconds(std::max(1, number(object, "periodSeconds", 10)));
  probe.timeout = std::chrono::seconds(std::max(1, number(object, "timeoutSeconds", 1)));
  probe.failure_threshold = std::max(1, number(object, "failureThreshold", 3));
  if (const Json& tcp = member(object, "tcpSocket"); !tcp.is_null()) {
    probe.kind = Probe::Kind::kTcp;
    TRY(probe.port, probe_port(document, tcp, container));
  } else if (const Json& http = member(object, "httpGet"); !http.is_null()) {
    probe.kind = Probe::Kind::kHttp;
    probe.path = text(http, "path", "/");
    TRY(probe.port, probe_port(document, http, container));
  } else if (const Json& exec = member(object, "exec"); !exec.is_null()) {
    probe.kind = Probe::Kind::kExec;
    TRY(probe.command, strings(document, member(exec, "command"), "readinessProbe.exec.command"));
    if (probe.command.empty()) return wrong(document, "readinessProbe.exec.command: empty");
  } else {
    return wrong(document, "readinessProbe: only tcpSocket, httpGet and exec run in a lab");
  }
  return probe;
}

Outcome<Container> read_container(const Document& document, const Json& object) {
  Container container;
  container.name = text(object, "name");
  if (container.name.empty()) return wrong(document, "spec.containers[].name: missing");
  TRY(container.command, strings(document, member(object, "command"), "spec.containers[].command"));
  TRY(const auto arguments, strings(document, member(object, "args"), "spec.containers[].args"));
  container.command.insert(container.command.end(), arguments.begin(), arguments.end());
  if (member(object, "command").empty()) {
    return wrong(document,
                 "spec.containers[].command: missing (a lab runs the command on the "
                 "host's file system and ignores the image)");
  }
  for (const Json& variable : member(object, "env")) {
    container.env[text(variable, "name")] = text(variable, "value");
  }
  container.working_dir = text(object, "workingDir");
  TRY(container.readiness, read_probe(document, object));
  return container;
}

std::string label(const Json& object, const char* key) {
  return text(member(member(object, "metadata"), "labels"), key);
}

Json parsed(const std::string& json) {
  return Json::parse(json, nullptr, /*allow_exceptions=*/false);
}

std::string fingerprint(Json object) {
  object.erase("status");
  Json metadata = Json::object();
  metadata["labels"] = member(member(object, "metadata"), "labels");
  object["metadata"] = metadata;
  object["spec"].erase("nodeName");
  object["spec"].erase("clusterIP");
  object["spec"].erase("clusterIPs");
  return to_text(object);
}

}  // namespace

std::string dataplane_mode(const Document& document) {
  const Json object = parsed(document.json);
  const std::string mode = label(object, "istio.io/dataplane-mode");
  return mode.empty() ? label(object, "weft.dev/dataplane-mode") : mode;
}

bool is_kept_by_others(const Document& document) {
  const Json object = parsed(document.json);
  return text(member(member(object, "metadata"), "annotations"), "lab.weft.dev/managed") == "false";
}

bool is_enrolled(const Pod& pod, const std::string& namespace_mode) {
  return (pod.dataplane_mode.empty() ? namespace_mode : pod.dataplane_mode) == "ambient";
}

Outcome<Pod> read_pod(const Document& document) {
  const Json object = parsed(document.json);
  const Json& spec = member(object, "spec");
  if (!spec.is_object()) return wrong(document, "spec: missing");
  Pod pod;
  pod.ns = document.ns.empty() ? "default" : document.ns;
  pod.name = document.name;
  pod.service_account = text(spec, "serviceAccountName", "default");
  pod.node = text(spec, "nodeName");
  pod.dataplane_mode = dataplane_mode(document);
  pod.grace = std::chrono::seconds(number(spec, "terminationGracePeriodSeconds", 30));
  const std::string restart = text(spec, "restartPolicy", "Always");
  pod.restart = restart == "Never"       ? RestartPolicy::kNever
                : restart == "OnFailure" ? RestartPolicy::kOnFailure
                                         : RestartPolicy::kAlways;
  if (member(spec, "hostNetwork") == true) {
    return wrong(document, "spec.hostNetwork: a lab gives each pod a network namespace of its own");
  }
  const Json& containers = member(spec, "containers");
  if (!containers.is_array() || containers.empty()) {
    return wrong(document, "spec.containers: missing");
  }
  for (const Json& item : containers) {
    TRY(Container container, read_container(document, item));
    pod.containers.push_back(std::move(container));
  }
  pod.fingerprint = fingerprint(object);
  pod.json = document.json;
  return pod;
}

Outcome<Service> read_service(const Document& document) {
  const Json object = parsed(document.json);
  const Json& spec = member(object, "spec");
  if (!spec.is_object()) return wrong(document, "spec: missing");
  Service service;
  service.ns = document.ns.empty() ? "default" : document.ns;
  service.name = document.name;
  service.wants_address = text(spec, "clusterIP") != "None" && text(spec, "type") != "ExternalName";
  TRY(const auto families, strings(document, member(spec, "ipFamilies"), "spec.ipFamilies"));
  const std::string policy = text(spec, "ipFamilyPolicy", "SingleStack");
  const bool first_v6 = !families.empty() && families[0] == "IPv6";
  service.wants_v6 = policy != "SingleStack" || first_v6;
  service.wants_v4 = policy != "SingleStack" || !first_v6;
  TRY(service.addresses, strings(document, member(spec, "clusterIPs"), "spec.clusterIPs"));
  if (const std::string one = text(spec, "clusterIP"); service.addresses.empty() && !one.empty()) {
    service.addresses.push_back(one);
  }
  if (const Json& selector = member(spec, "selector"); selector.is_object()) {
    for (const auto& [key, value] : selector.items()) {
      if (value.is_string()) service.selector[key] = value.get<std::string>();
    }
  }
  service.json = document.json;
  return service;
}

std::string with_status(const Pod& pod, const PodStatus& status) {
  Json object = parsed(pod.json);
  object["metadata"]["namespace"] = pod.ns;
  object["metadata"]["uid"] = status.uid;
  object["spec"]["nodeName"] = status.node;
  Json ips = Json::array();
  for (const std::string& ip : status.ips) ips.push_back({{"ip", ip}});
  const char* ready = status.ready ? "True" : "False";
  Json containers = Json::array();
  for (const Container& container : pod.containers) {
    containers.push_back(
        {{"name", container.name}, {"ready", status.ready}, {"restartCount", status.restarts}});
  }
  object["status"] = {{"phase", status.phase},
                      {"hostIP", status.host_ip},
                      {"podIP", status.ips.empty() ? "" : status.ips[0]},
                      {"podIPs", ips},
                      {"conditions",
                       {{{"type", "PodScheduled"}, {"status", "True"}},
                        {{"type", "Ready"}, {"status", ready}},
                        {{"type", "ContainersReady"}, {"status", ready}}}},
                      {"containerStatuses", containers}};
  return to_text(object, 2) + "\n";
}

std::string with_addresses(const Service& service, const std::vector<std::string>& addresses) {
  Json object = parsed(service.json);
  object["metadata"]["namespace"] = service.ns;
  if (!addresses.empty()) {
    object["spec"]["clusterIP"] = addresses[0];
    object["spec"]["clusterIPs"] = addresses;
    Json families = Json::array();
    for (const std::string& address : addresses) {
      families.push_back(address.find(':') == std::string::npos ? "IPv4" : "IPv6");
    }
    object["spec"]["ipFamilies"] = families;
  }
  return to_text(object, 2) + "\n";
}

std::string node_object(const std::string& name, const std::vector<std::string>& addresses) {
  Json list = Json::array();
  for (const std::string& address : addresses) {
    list.push_back({{"type", "InternalIP"}, {"address", address}});
  }
  const Json object = {
      {"apiVersion", "v1"},
      {"kind", "Node"},
      {"metadata", {{"name", name}, {"labels", {{"kubernetes.io/hostname", name}}}}},
      {"status", {{"addresses", list}, {"conditions", {{{"type", "Ready"}, {"status", "True"}}}}}}};
  return to_text(object, 2) + "\n";
}

bool selects(const Service& service, const Pod& pod) {
  if (service.selector.empty()) return false;
  const Json object = parsed(pod.json);
  const Json& labels = member(member(object, "metadata"), "labels");
  for (const auto& [key, value] : service.selector) {
    if (text(labels, key.c_str()) != value) return false;
  }
  return true;
}

}  // namespace mesh::cli::lab
