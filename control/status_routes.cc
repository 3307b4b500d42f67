#include "control/status_routes.h"

#include <algorithm>
#include <optional>
#include <set>

#include "control/waypoints.h"

namespace mesh::control {
namespace {

using manifest::Backend;
using manifest::ParentRef;
using manifest::RouteFilters;
using manifest::Service;
using manifest::Target;

// What a status needs to know of a route, whichever kind it is.
struct RouteView {
  manifest::ObjectKey object;
  const manifest::Metadata* metadata = nullptr;
  const std::vector<ParentRef>* parents = nullptr;
  std::vector<const Target*> targets;
  std::set<std::string> extensions;
  std::vector<std::string> faults = {};  // of its annotations
};

void add_filters(const RouteFilters& filters, RouteView& into) {
  for (const manifest::Mirror& mirror : filters.mirrors) into.targets.push_back(&mirror.target);
  into.extensions.insert(filters.extensions.begin(), filters.extensions.end());
}

template <class Route>
RouteView view(manifest::Kind kind, const Route& route) {
  RouteView view{.object = {kind, route.metadata.ns, route.metadata.name},
                 .metadata = &route.metadata,
                 .parents = &route.parents,
                 .targets = {},
                 .extensions = {}};
  for (const auto& rule : route.rules) {
    if constexpr (requires { rule.filters; }) add_filters(rule.filters, view);
    for (const Backend& backend : rule.backends) {
      view.targets.push_back(&backend.target);
      add_filters(backend.filters, view);
    }
  }
  return view;
}

bool is_core(const std::string& group) { return group.empty() || group == "core"; }

bool is_ours(const World& world, const RouteView& route, const ParentRef& parent) {
  if (is_core(parent.group) && parent.kind == "Service") return true;
  if (parent.group != "gateway.networking.k8s.io" || parent.kind != "Gateway") return false;
  const std::string& ns = parent.ns.empty() ? route.metadata->ns : parent.ns;
  const auto* gateway = world.find<manifest::Gateway>(ns, parent.name);
  return gateway != nullptr && is_waypoint(*gateway);
}

bool has_port(const Service& service, std::uint16_t port) {
  return std::any_of(service.ports.begin(), service.ports.end(),
                     [&](const manifest::ServicePort& own) { return own.port == port; });
}

StatusCondition accepted(const World& world, const RouteView& route, const ParentRef& parent) {
  const auto refused = [](std::string reason, std::string message) {
    return StatusCondition{"Accepted", false, std::move(reason), std::move(message)};
  };
  if (parent.kind == "Gateway") {
    return refused("NotAllowedByListeners",
                   "a waypoint's listeners take no routes: name the Service as the parent");
  }
  const std::string& ns = parent.ns.empty() ? route.metadata->ns : parent.ns;
  const auto* service = world.find<Service>(ns, parent.name);
  if (service == nullptr) {
    return refused("NoMatchingParent", "there is no Service " + ns + "/" + parent.name);
  }
  if (parent.port != 0 && !has_port(*service, parent.port)) {
    return refused("NoMatchingParent", "Service " + ns + "/" + parent.name + " has no port " +
                                           std::to_string(parent.port));
  }
  const WaypointBinding binding =
      bind_waypoint(world, service->metadata, WaypointTraffic::kService);
  const bool from_waypoint = binding.outcome == Binding::kBound && binding.ns == route.metadata->ns;
  const bool of_requests = route.object.kind == manifest::Kind::kHttpRoute ||
                           route.object.kind == manifest::Kind::kGrpcRoute;
  if (ns != route.metadata->ns && !from_waypoint && !of_requests) {
    return refused("NotAllowedByListeners",
                   "a " + std::string(manifest::kind_name(route.object.kind)) +
                       " for a Service must be in the Service's namespace "
                       "or its waypoint's");
  }
  if (route.object.kind == manifest::Kind::kTlsRoute) {
    return refused("UnsupportedValue",
                   "a TLSRoute has no effect: connections go where they would without it");
  }
  if (!route.extensions.empty()) {
    return refused("UnsupportedValue", "filter " + *route.extensions.begin() + " is not supported");
  }
  if (!route.faults.empty()) return refused("UnsupportedValue", message_of(route.faults));
  if (ns != route.metadata->ns && !from_waypoint) {
    return {"Accepted", true, "Accepted",
            "the route is valid: for requests that come from " + route.metadata->ns};
  }
  return {"Accepted", true, "Accepted", "the route is valid"};
}

bool is_granted(const World& world, manifest::Kind kind, const std::string& from_ns,
                const std::string& ns, const std::string& name) {
  for (const auto* grant : world.all<manifest::ReferenceGrant>()) {
    if (grant->metadata.ns != ns) continue;
    const bool from =
        std::any_of(grant->from.begin(), grant->from.end(), [&](const manifest::GrantFrom& who) {
          return who.group == "gateway.networking.k8s.io" &&
                 who.kind == manifest::kind_name(kind) && who.ns == from_ns;
        });
    const bool to =
        std::any_of(grant->to.begin(), grant->to.end(), [&](const manifest::GrantTo& what) {
          return is_core(what.group) && what.kind == "Service" &&
                 (what.name.empty() || what.name == name);
        });
    if (from && to) return true;
  }
  return false;
}

// none: the target is there and may be used.
std::optional<StatusCondition> unresolved(const World& world, const RouteView& route,
                                          const Target& target) {
  const auto refused = [](std::string reason, std::string message) {
    return StatusCondition{"ResolvedRefs", false, std::move(reason), std::move(message)};
  };
  if (!is_core(target.group) || target.kind != "Service") {
    return refused("InvalidKind", "a backend must be a Service, not a " + target.kind);
  }
  const std::string& ns = target.ns.empty() ? route.object.ns : target.ns;
  const std::string name = ns + "/" + target.name;
  // Before existence: who may not use it need not learn whether it is there.
  if (ns != route.object.ns && !is_consumed(*route.parents, route.object.ns, target) &&
      !is_granted(world, route.object.kind, route.object.ns, ns, target.name)) {
    return refused("RefNotPermitted", "no ReferenceGrant in " + ns + " permits Service " + name);
  }
  const auto* service = world.find<Service>(ns, target.name);
  if (service == nullptr) return refused("BackendNotFound", "there is no Service " + name);
  if (!has_port(*service, target.port)) {
    return refused("BackendNotFound",
                   "Service " + name + " has no port " + std::to_string(target.port));
  }
  return {};
}

StatusCondition resolved_refs(const World& world, const RouteView& route) {
  for (const Target* target : route.targets) {
    if (auto refused = unresolved(world, route, *target)) return *std::move(refused);
  }
  return {"ResolvedRefs", true, "ResolvedRefs", "all references are resolved"};
}

StatusCondition resolved_waypoint(const World& world, const RouteView& route,
                                  const ParentRef& parent) {
  const std::string& ns = parent.ns.empty() ? route.metadata->ns : parent.ns;
  const auto* service = parent.kind == "Service" ? world.find<Service>(ns, parent.name) : nullptr;
  const bool bound =
      service != nullptr &&
      bind_waypoint(world, service->metadata, WaypointTraffic::kService).outcome == Binding::kBound;
  if (bound) return {"ResolvedWaypoints", true, "ResolvedWaypoints", "the parent has a waypoint"};
  return {"ResolvedWaypoints", false, "WaypointMissing",
          "the parent has no waypoint: the route has no effect until istio.io/use-waypoint is set"};
}

template <class Route>
void add_routes(const World& world, const Settings& settings, manifest::Kind kind,
                std::vector<ObjectStatus>& into) {
  for (const Route* route : world.all<Route>()) {
    RouteView seen = view(kind, *route);
    seen.faults = faults_of_annotations(settings, kind, route->metadata);
    ObjectStatus status{.object = seen.object, .generation = route->metadata.generation};
    for (const ParentRef& parent : route->parents) {
      if (!is_ours(world, seen, parent)) continue;
      status.parents.push_back(
          {.parent = parent,
           .conditions = {accepted(world, seen, parent), resolved_refs(world, seen),
                          resolved_waypoint(world, seen, parent)}});
    }
    if (!status.parents.empty()) into.push_back(std::move(status));
  }
}

}  // namespace

bool is_consumed(const std::vector<ParentRef>& parents, const std::string& ns,
                 const Target& target) {
  if (target.ns.empty() || target.ns == ns) return false;
  return std::any_of(parents.begin(), parents.end(), [&](const ParentRef& parent) {
    return is_core(parent.group) && parent.kind == "Service" && parent.ns == target.ns &&
           parent.name == target.name;
  });
}

bool may_route_to(const World& world, manifest::Kind kind, const std::string& ns,
                  const manifest::Target& target) {
  if (!is_core(target.group) || target.kind != "Service") return false;
  return target.ns.empty() || target.ns == ns ||
         is_granted(world, kind, ns, target.ns, target.name);
}

void add_route_statuses(const World& world, const Settings& settings,
                        std::vector<ObjectStatus>& into) {
  add_routes<manifest::HttpRoute>(world, settings, manifest::Kind::kHttpRoute, into);
  add_routes<manifest::GrpcRoute>(world, settings, manifest::Kind::kGrpcRoute, into);
  add_routes<manifest::TcpRoute>(world, settings, manifest::Kind::kTcpRoute, into);
  add_routes<manifest::TlsRoute>(world, settings, manifest::Kind::kTlsRoute, into);
}

}  // namespace mesh::control
