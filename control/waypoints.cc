#include "control/waypoints.h"

#include <algorithm>

namespace mesh::control {
namespace {

using manifest::Gateway;
using manifest::Metadata;

bool admits(const World& world, const Gateway& gateway, const std::string& ns) {
  return std::any_of(gateway.listeners.begin(), gateway.listeners.end(),
                     [&](const manifest::Listener& listener) {
                       if (listener.protocol != "HBONE") return false;
                       if (listener.routes_from == "All") return true;
                       if (listener.routes_from == "Same") return gateway.metadata.ns == ns;
                       const auto* object = world.find<manifest::Namespace>("", ns);
                       return listener.routes_from == "Selector" && object != nullptr &&
                              listener.routes_selector.selects(object->metadata.labels);
                     });
}

bool handles(std::string_view waypoint_for, WaypointTraffic traffic) {
  if (waypoint_for.empty()) waypoint_for = "service";
  if (waypoint_for == "all") return true;
  return waypoint_for == (traffic == WaypointTraffic::kService ? "service" : "workload");
}

}  // namespace

bool is_waypoint(const Gateway& gateway) {
  return gateway.class_name == "istio-waypoint" || gateway.class_name == "weft-waypoint";
}

const Gateway* own_gateway(const World& world, const Metadata& object) {
  const std::string_view name = object.label("gateway.networking.k8s.io/gateway-name");
  const Gateway* gateway = name.empty() ? nullptr : world.find<Gateway>(object.ns, name);
  return gateway != nullptr && is_waypoint(*gateway) ? gateway : nullptr;
}

WaypointBinding bind_waypoint(const World& world, const Metadata& object, WaypointTraffic traffic) {
  if (own_gateway(world, object) != nullptr) return {};
  const Metadata* names_it = &object;
  if (mesh_label(object, "use-waypoint").empty()) {
    const auto* ns = world.find<manifest::Namespace>("", object.ns);
    if (ns == nullptr) return {};
    names_it = &ns->metadata;
  }
  const std::string name(mesh_label(*names_it, "use-waypoint"));
  if (name.empty() || name == "none") return {};
  const std::string_view named_ns = mesh_label(*names_it, "use-waypoint-namespace");
  const std::string ns(named_ns.empty() ? std::string_view(object.ns) : named_ns);

  const bool by_object = names_it == &object;
  const Gateway* gateway = world.find<Gateway>(ns, name);
  if (gateway == nullptr || !is_waypoint(*gateway)) {
    // What a missing waypoint is for is unknown: the default is services.
    if (by_object || traffic == WaypointTraffic::kService) return {Binding::kMissing, ns, name};
    return {};
  }
  const std::string_view waypoint_for = mesh_label(gateway->metadata, "waypoint-for");
  if (waypoint_for == "none") return {Binding::kForNothing, ns, name};
  if (!handles(waypoint_for, traffic)) {
    if (!by_object) return {};
    return {Binding::kWrongTraffic, ns, name};
  }
  const bool admitted = admits(world, *gateway, object.ns);
  return {admitted ? Binding::kBound : Binding::kDenied, ns, name};
}

std::optional<WaypointAddress> waypoint_of(const World& world, const Settings& settings,
                                           const Metadata& object, WaypointTraffic traffic) {
  const WaypointBinding binding = bind_waypoint(world, object, traffic);
  const std::string host = binding.name + "." + binding.ns;
  switch (binding.outcome) {
    case Binding::kNone:
    case Binding::kForNothing:
      return {};
    case Binding::kBound:
    case Binding::kMissing:
      return WaypointAddress{binding.ns, host + ".svc." + settings.cluster_domain};
    case Binding::kDenied:
    case Binding::kWrongTraffic:
      break;
  }
  return WaypointAddress{binding.ns, host + ".refused.invalid"};
}

}  // namespace mesh::control
