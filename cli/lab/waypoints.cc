#include "cli/lab/waypoints.h"

#include <unistd.h>

#include <map>
#include <set>

#include <nlohmann/json.hpp>

#include "cli/json.h"
#include "cli/lab/document.h"
#include "cli/lab/files.h"
#include "cli/lab/folder.h"

namespace mesh::cli::lab {
namespace {

using Json = nlohmann::json;

constexpr const char* kGatewayName = "gateway.networking.k8s.io/gateway-name";
constexpr const char* kManaged = "gateway.istio.io/managed";
constexpr const char* kLab = "weft.dev-lab";

struct Name {
  std::string ns;
  std::string name;
  friend auto operator<=>(const Name&, const Name&) = default;
};

struct Found {
  std::map<Name, std::string> gateways;  // class
  std::map<std::string, Name> ours;      // a file that the lab wrote, and its Gateway
  std::set<Name> others;                 // Services of somebody else
};

std::string label(const Json& object, const char* key) {
  const Json& value = member(member(member(object, "metadata"), "labels"), key);
  return value.is_string() ? value.get<std::string>() : std::string();
}

Outcome<Found> look(const std::string& manifests) {
  Found found;
  TRY(const auto files, list_folder(manifests));
  for (const std::string& file : files) {
    if (!is_manifest_name(file)) continue;
    const auto text = read_file(manifests + "/" + file);
    if (!text) continue;  // removed meanwhile
    TRY(const auto documents, parse_documents(file, *text));
    for (const Document& document : documents) {
      const Name name{.ns = document.ns.empty() ? "default" : document.ns, .name = document.name};
      if (document.kind == "Gateway") {
        const Json object = Json::parse(document.json, nullptr, false);
        const Json& its = member(member(object, "spec"), "gatewayClassName");
        if (its.is_string()) found.gateways[name] = its.get<std::string>();
        continue;
      }
      const bool may_be_ours =
          document.kind == "Service" || document.kind == "ServiceAccount" || document.kind == "Pod";
      if (!may_be_ours) continue;
      const Json object = Json::parse(document.json, nullptr, false);
      if (documents.size() == 1 && label(object, kManaged) == kLab) {
        found.ours[file] = {.ns = name.ns, .name = label(object, kGatewayName)};
      } else if (document.kind == "Service") {
        found.others.insert(name);
      }
    }
  }
  return found;
}

Json part(const char* kind, const Name& gateway, const std::string& class_name,
          const std::string& name) {
  return {{"apiVersion", "v1"},
          {"kind", kind},
          {"metadata",
           {{"name", name},
            {"namespace", gateway.ns},
            {"labels",
             {{kGatewayName, gateway.name},
              {"gateway.networking.k8s.io/gateway-class-name", class_name},
              {kManaged, kLab}}}}}};
}

Outcome<Done> write_parts(const std::string& manifests, const Name& gateway,
                          const std::string& class_name, const std::string& program) {
  const Json account = part("ServiceAccount", gateway, class_name, gateway.name);
  TRY_DO(write_file(manifests + "/serviceaccount." + gateway.ns + "." + gateway.name + ".yaml",
                    to_text(account, 2) + "\n"));
  Json service = part("Service", gateway, class_name, gateway.name);
  const Json port = {{"name", "mesh"}, {"port", 15008}, {"appProtocol", "hbone"}};
  service["spec"] = {{"selector", {{kGatewayName, gateway.name}}}, {"ports", Json::array({port})}};
  TRY_DO(write_file(service_file(manifests, gateway.ns, gateway.name), to_text(service, 2) + "\n"));
  const std::string name = gateway.name + "-0";
  Json pod = part("Pod", gateway, class_name, name);
  pod["metadata"]["labels"]["istio.io/dataplane-mode"] = "none";  // its own mesh
  const Json container = {
      {"name", "waypoint"},
      {"image", "weft-waypoint"},
      {"command", Json::array({program})},
      {"readinessProbe",
       {{"periodSeconds", 1}, {"httpGet", {{"port", 15021}, {"path", "/healthz/ready"}}}}}};
  pod["spec"] = {{"serviceAccountName", gateway.name},
                 {"terminationGracePeriodSeconds", 5},
                 {"containers", Json::array({container})}};
  return write_file(pod_file(manifests, gateway.ns, name), to_text(pod, 2) + "\n");
}

}  // namespace

Outcome<Done> provide_waypoints(const std::string& manifests, const std::string& program) {
  TRY(const Found found, look(manifests));
  std::set<Name> have;
  for (const auto& [file, gateway] : found.ours) {
    if (found.gateways.contains(gateway)) {
      have.insert(gateway);
    } else if (::unlink((manifests + "/" + file).c_str()) != 0) {
      return problem_with_errno("remove " + file);
    }
  }
  for (const auto& [gateway, class_name] : found.gateways) {
    const bool is_waypoint = class_name == "weft-waypoint" || class_name == "istio-waypoint";
    if (!is_waypoint || have.contains(gateway) || found.others.contains(gateway)) continue;
    TRY_DO(write_parts(manifests, gateway, class_name, program));
  }
  return Done{};
}

}  // namespace mesh::cli::lab
