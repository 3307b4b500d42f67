#pragma once
// What a waypoint's Gateway becomes: GatewayClasses for everybody, and for each Gateway of ours a
// ServiceAccount, Deployment, Service, HorizontalPodAutoscaler and PodDisruptionBudget. Pure.
//
// The parts belong to their Gateway (owner references): deleting it deletes them. A Gateway with
// addresses of its own is somebody's by hand, and has no parts. `infrastructure.parametersRef`
// names a ConfigMap with a merge patch for each part that is to be other than usual, and `proxy`:
// weft or envoy. One that is missing or cannot be read holds the parts back, for they would be
// other than asked.

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "control/kubernetes/write_queue.h"
#include "control/world.h"

namespace mesh::control::kubernetes {

struct WaypointOptions {
  std::string image = "weft-waypoint";
  std::string envoy_image = "envoy";            // of those that are stock Envoy
  std::string sds_image = "weft-sds";           // beside it
  std::string root_map = "istio-ca-root-cert";  // what they mount to know whom to trust
  std::string ns = "weft-system";               // control's own
  bool localhost_seccomp = true;                // nodes have the profile weft/waypoint.json
};

// A ConfigMap's data; by "NAMESPACE/NAME".
using Parameters = std::map<std::string, std::map<std::string, std::string>>;

struct WaypointPart {
  kube::Target target;
  std::string body;  // JSON, what is to be there
};

struct WaypointProblem {
  manifest::ObjectKey gateway;
  std::string text;
};

// The ConfigMaps that Gateways and their classes name: namespace and name.
std::vector<std::pair<std::string, std::string>> named_parameters(const World& world,
                                                                  const WaypointOptions& options);

std::vector<WaypointPart> waypoint_parts(const World& world, const Settings& settings,
                                         const WaypointOptions& options,
                                         const Parameters& parameters,
                                         std::vector<WaypointProblem>& problems);

// Everything that `body` says holds of `live`; what else is there is somebody else's.
bool holds(const std::string& body, const manifest::Value& live);

}  // namespace mesh::control::kubernetes
