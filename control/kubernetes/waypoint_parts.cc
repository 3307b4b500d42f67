#include "control/kubernetes/waypoint_parts.h"

#include <algorithm>
#include <optional>

#include <nlohmann/json.hpp>

#include "control/kubernetes/waypoint_pod.h"
#include "control/status.h"
#include "control/waypoints.h"
#include "mesh/manifest/yaml.h"

namespace mesh::control::kubernetes {
namespace {

using manifest::Gateway;
using manifest::Value;
using nlohmann::json;

constexpr const char* kManaged = "weft.dev-mesh-controller";
constexpr const char* kProxy = "proxy";  // the parameter that is no part

const kube::ResourceType kAccounts{.group = {}, .version = "v1", .plural = "serviceaccounts"};
const kube::ResourceType kServices{.group = {}, .version = "v1", .plural = "services"};
const kube::ResourceType kDeployments{.group = "apps", .version = "v1", .plural = "deployments"};
const kube::ResourceType kScalers{
    .group = "autoscaling", .version = "v2", .plural = "horizontalpodautoscalers"};
const kube::ResourceType kBudgets{
    .group = "policy", .version = "v1", .plural = "poddisruptionbudgets"};
const kube::ResourceType kClasses{.group = "gateway.networking.k8s.io",
                                  .version = "v1",
                                  .plural = "gatewayclasses",
                                  .namespaced = false};

// The parts, by the names that parameters know them by.
struct Kind {
  const char* part;
  const char* kind;
  const kube::ResourceType* type;
};
const Kind kKinds[] = {{"serviceAccount", "ServiceAccount", &kAccounts},
                       {"service", "Service", &kServices},
                       {"deployment", "Deployment", &kDeployments},
                       {"horizontalPodAutoscaler", "HorizontalPodAutoscaler", &kScalers},
                       {"podDisruptionBudget", "PodDisruptionBudget", &kBudgets}};

std::string version_of(const kube::ResourceType& type) {
  return type.group.empty() ? type.version : type.group + "/" + type.version;
}

// ---- parameters ---------------------------------------------------------------------------------

// A plain scalar of YAML is what JSON would have it.
json scalar_of(const Value& value) {
  if (value.quoted) return value.text;
  const json read = json::parse(value.text, nullptr, false);
  if (read.is_number() || read.is_boolean()) return read;
  if (value.text == "null" || value.text == "~" || value.text.empty()) return nullptr;
  return value.text;
}

json json_of(const Value& value) {
  switch (value.type) {
    case Value::Type::kNull:
      return nullptr;
    case Value::Type::kScalar:
      return scalar_of(value);
    case Value::Type::kList: {
      json list = json::array();
      for (const Value& item : value.items) list.push_back(json_of(item));
      return list;
    }
    case Value::Type::kMap:
      break;
  }
  json map = json::object();
  for (std::size_t i = 0; i < value.keys.size(); ++i) map[value.keys[i]] = json_of(value.items[i]);
  return map;
}

// Lists whose items have names are patched item by item, as everybody expects of containers.
void patch(json& into, const json& with) {
  if (!with.is_object() || !into.is_object()) {
    into = with;
    return;
  }
  for (const auto& [key, value] : with.items()) {
    json& old = into[key];
    const auto named = [](const json& list) {
      return list.is_array() && !list.empty() &&
             std::all_of(list.begin(), list.end(), [](const json& item) {
               return item.is_object() && item.contains("name");
             });
    };
    if (value.is_null()) {
      into.erase(key);
    } else if (named(old) && named(value)) {
      for (const json& item : value) {
        const auto same = std::find_if(
            old.begin(), old.end(), [&](const json& one) { return one["name"] == item["name"]; });
        if (same != old.end()) {
          patch(*same, item);
        } else {
          old.push_back(item);
        }
      }
    } else {
      patch(old, value);
    }
  }
}

std::optional<std::pair<std::string, std::string>> reference(
    const std::optional<manifest::ParametersRef>& from, const std::string& ns) {
  if (!from || !from->group.empty() || from->kind != "ConfigMap") return {};
  return std::pair(from->ns.empty() ? ns : from->ns, from->name);
}

// ---- who has parts ------------------------------------------------------------------------------

bool is_ours(const World& world, const Gateway& gateway) {
  if (!is_waypoint(gateway) || gateway.metadata.deleting || !gateway.addresses.empty())
    return false;
  const auto* its = world.find<manifest::GatewayClass>("", gateway.class_name);
  if (its == nullptr) return true;  // about to be made
  return std::find(std::begin(kClassControllers), std::end(kClassControllers), its->controller) !=
         std::end(kClassControllers);
}

// Something of that name that somebody else has made.
bool is_taken(const World& world, const Gateway& gateway) {
  const auto* service = world.find<manifest::Service>(gateway.metadata.ns, gateway.metadata.name);
  return service != nullptr &&
         service->metadata.label("gateway.networking.k8s.io/gateway-name") != gateway.metadata.name;
}

// ---- the parts ----------------------------------------------------------------------------------

class Maker {
 public:
  Maker(const Settings& settings, const WaypointOptions& options, const Gateway& gateway,
        WaypointProxy proxy)
      : settings_(settings), options_(options), gateway_(gateway), proxy_(proxy) {}

  json make(const Kind& kind) const {
    json part = {{"apiVersion", version_of(*kind.type)},
                 {"kind", kind.kind},
                 {"metadata",
                  {{"name", gateway_.metadata.name},
                   {"namespace", gateway_.metadata.ns},
                   {"labels", labels()},
                   {"ownerReferences", json::array({{{"apiVersion", "gateway.networking.k8s.io/v1"},
                                                     {"kind", "Gateway"},
                                                     {"name", gateway_.metadata.name},
                                                     {"uid", gateway_.metadata.uid}}})}}}};
    if (!gateway_.infrastructure_annotations.empty()) {
      part["metadata"]["annotations"] = gateway_.infrastructure_annotations;
    }
    const std::string name = kind.part;
    if (name == "service") part["spec"] = service();
    if (name == "deployment") part["spec"] = deployment();
    if (name == "horizontalPodAutoscaler") part["spec"] = scaler();
    if (name == "podDisruptionBudget") {
      part["spec"] = {{"maxUnavailable", 1}, {"selector", {{"matchLabels", selector()}}}};
    }
    if (name == "service") {
      // Callers take the proxy next to them.
      part["metadata"]["annotations"]["networking.istio.io/traffic-distribution"] = "PreferClose";
    }
    return part;
  }

 private:
  json selector() const {
    return {{"gateway.networking.k8s.io/gateway-name", gateway_.metadata.name}};
  }

  json labels() const {
    json all = gateway_.infrastructure_labels;
    if (!all.is_object()) all = json::object();
    all["gateway.networking.k8s.io/gateway-name"] = gateway_.metadata.name;
    all["gateway.networking.k8s.io/gateway-class-name"] = gateway_.class_name;
    all["gateway.istio.io/managed"] = kManaged;
    return all;
  }

  static json service_port(const char* name, int port, const char* protocol) {
    return {{"name", name}, {"port", port}, {"appProtocol", protocol}, {"protocol", "TCP"}};
  }

  json service() const {
    return {{"selector", selector()},
            {"ports", json::array({service_port("status-port", 15021, "tcp"),
                                   service_port("mesh", 15008, "hbone")})}};
  }

  json scaler() const {
    return {{"scaleTargetRef",
             {{"apiVersion", "apps/v1"}, {"kind", "Deployment"}, {"name", gateway_.metadata.name}}},
            {"minReplicas", 1},
            {"maxReplicas", 1}};
  }

  json deployment() const {
    json pod_labels = labels();
    // It ends tunnels itself: no ztunnel in front of it, and no sidecar.
    pod_labels["istio.io/dataplane-mode"] = "none";
    pod_labels["sidecar.istio.io/inject"] = "false";
    pod_labels["service.istio.io/canonical-name"] = gateway_.metadata.name;
    pod_labels["service.istio.io/canonical-revision"] = "latest";
    json pod_metadata = {{"labels", pod_labels}};
    if (!gateway_.infrastructure_annotations.empty()) {
      pod_metadata["annotations"] = gateway_.infrastructure_annotations;
    }
    return {{"selector", {{"matchLabels", selector()}}},
            {"strategy", {{"rollingUpdate", {{"maxSurge", 1}, {"maxUnavailable", 0}}}}},
            {"template",
             {{"metadata", pod_metadata},
              {"spec", waypoint_pod(settings_, options_, gateway_, proxy_)}}}};
  }

  const Settings& settings_;
  const WaypointOptions& options_;
  const Gateway& gateway_;
  const WaypointProxy proxy_;
};

// Which proxy the parameters choose: the Gateway's word after its class's. The text of what is
// wrong.
std::string choose(const std::vector<const std::map<std::string, std::string>*>& parameters,
                   WaypointProxy& proxy) {
  for (const auto* data : parameters) {
    const auto said = data->find(kProxy);
    if (said == data->end()) continue;
    if (said->second != "weft" && said->second != "envoy") return "proxy: must be weft or envoy";
    proxy = said->second == "envoy" ? WaypointProxy::kEnvoy : WaypointProxy::kWeft;
  }
  return {};
}

// Applies what the ConfigMap says to the parts. The text of what is wrong with it.
std::string apply_parameters(const std::map<std::string, std::string>& data,
                             std::map<std::string, json>& parts) {
  for (const auto& [part, text] : data) {
    if (part == kProxy) continue;
    const auto found = parts.find(part);
    if (found == parts.end()) return part + " is not a part of a waypoint";
    const manifest::YamlFile read = manifest::read_yaml(text);
    if (!read.errors.empty()) return part + ": " + read.errors.front().message;
    if (read.documents.empty() || read.documents.front().is_null()) continue;
    if (read.documents.size() > 1 || read.documents.front().type != Value::Type::kMap) {
      return part + ": not one YAML mapping";
    }
    const json before = found->second["metadata"];
    patch(found->second, json_of(read.documents.front()));
    json& after = found->second["metadata"];
    for (const char* fixed : {"name", "namespace", "ownerReferences"}) after[fixed] = before[fixed];
    for (const auto& [label, value] : before["labels"].items()) after["labels"][label] = value;
  }
  return {};
}

void add_classes(const World& world, std::vector<WaypointPart>& into) {
  const std::pair<const char*, const char*> kOurs[] = {
      {"weft-waypoint", "weft.dev/mesh-controller"},
      {"istio-waypoint", "istio.io/mesh-controller"}};
  for (const auto& [name, controller] : kOurs) {
    if (world.find<manifest::GatewayClass>("", name) != nullptr) continue;  // or somebody else's
    const json body = {{"apiVersion", version_of(kClasses)},
                       {"kind", "GatewayClass"},
                       {"metadata", {{"name", name}}},
                       {"spec", {{"controllerName", controller}}}};
    into.push_back({.target = {.type = kClasses, .ns = {}, .name = name}, .body = body.dump()});
  }
}

// Every ConfigMap that has a say, the class's before the Gateway's. The text of what is missing.
std::string gather(const World& world, const WaypointOptions& options, const Gateway& gateway,
                   const Parameters& parameters,
                   std::vector<const std::map<std::string, std::string>*>& into) {
  const auto* its = world.find<manifest::GatewayClass>("", gateway.class_name);
  const std::optional<manifest::ParametersRef> of_class =
      its == nullptr ? std::nullopt : its->parameters;
  const std::pair<const std::optional<manifest::ParametersRef>*, std::string> refs[] = {
      {&of_class, options.ns}, {&gateway.parameters, gateway.metadata.ns}};
  for (const auto& [ref, ns] : refs) {
    if (!*ref) continue;
    const auto named = reference(*ref, ns);
    if (!named) return "parametersRef must name a ConfigMap";
    const auto found = parameters.find(named->first + "/" + named->second);
    if (found == parameters.end()) {
      return "there is no ConfigMap " + named->first + "/" + named->second;
    }
    into.push_back(&found->second);
  }
  return {};
}

bool scalar_holds(const json& wanted, const Value& live) {
  if (live.type != Value::Type::kScalar) return false;
  return live.text == (wanted.is_string() ? wanted.get<std::string>() : wanted.dump());
}

bool value_holds(const json& wanted, const Value& live);

bool list_holds(const json& wanted, const Value& live) {
  if (live.type != Value::Type::kList) return wanted.empty();
  const bool named = std::all_of(wanted.begin(), wanted.end(), [](const json& item) {
    return item.is_object() && item.contains("name");
  });
  if (!named && live.items.size() != wanted.size()) return false;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (!named) {
      if (!value_holds(wanted[i], live.items[i])) return false;
      continue;
    }
    const bool found = std::any_of(live.items.begin(), live.items.end(), [&](const Value& item) {
      const Value* name = item.type == Value::Type::kMap ? item.find("name") : nullptr;
      return name != nullptr && scalar_holds(wanted[i]["name"], *name) &&
             value_holds(wanted[i], item);
    });
    if (!found) return false;
  }
  return true;
}

bool value_holds(const json& wanted, const Value& live) {
  if (wanted.is_array()) return list_holds(wanted, live);
  if (!wanted.is_object()) return scalar_holds(wanted, live);
  if (live.type != Value::Type::kMap) return wanted.empty();
  for (const auto& [key, value] : wanted.items()) {
    const Value* found = live.find(key);
    if (found == nullptr) {
      if ((value.is_object() || value.is_array()) && value.empty()) continue;
      return false;
    }
    if (!value_holds(value, *found)) return false;
  }
  return true;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> named_parameters(const World& world,
                                                                  const WaypointOptions& options) {
  std::vector<std::pair<std::string, std::string>> all;
  const auto add = [&](const auto& from, const std::string& ns) {
    if (const auto named = reference(from, ns)) all.push_back(*named);
  };
  for (const auto* its : world.all<manifest::GatewayClass>()) add(its->parameters, options.ns);
  for (const Gateway* gateway : world.all<Gateway>()) {
    if (is_ours(world, *gateway)) add(gateway->parameters, gateway->metadata.ns);
  }
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

std::vector<WaypointPart> waypoint_parts(const World& world, const Settings& settings,
                                         const WaypointOptions& options,
                                         const Parameters& parameters,
                                         std::vector<WaypointProblem>& problems) {
  std::vector<WaypointPart> all;
  add_classes(world, all);
  for (const Gateway* gateway : world.all<Gateway>()) {
    if (!is_ours(world, *gateway)) continue;
    const auto refuse = [&](std::string text) {
      problems.push_back({{manifest::Kind::kGateway, gateway->metadata.ns, gateway->metadata.name},
                          std::move(text)});
    };
    if (is_taken(world, *gateway)) {
      refuse("a Service of its name is there already, and is not its");
      continue;
    }
    std::vector<const std::map<std::string, std::string>*> patches;
    WaypointProxy proxy = WaypointProxy::kWeft;
    std::string wrong = gather(world, options, *gateway, parameters, patches);
    if (wrong.empty()) wrong = choose(patches, proxy);
    std::map<std::string, json> parts;
    const Maker maker(settings, options, *gateway, proxy);
    for (const Kind& kind : kKinds) parts[kind.part] = maker.make(kind);
    for (const auto* data : patches) {
      if (wrong.empty()) wrong = apply_parameters(*data, parts);
    }
    if (!wrong.empty()) {
      refuse(wrong);
      continue;
    }
    for (const Kind& kind : kKinds) {
      all.push_back({.target = {.type = *kind.type,
                                .ns = gateway->metadata.ns,
                                .name = gateway->metadata.name},
                     .body = parts[kind.part].dump()});
    }
  }
  return all;
}

bool holds(const std::string& body, const Value& live) {
  return value_holds(json::parse(body), live);
}

}  // namespace mesh::control::kubernetes
