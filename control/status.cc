#include "control/status.h"

#include <algorithm>
#include <set>
#include <type_traits>
#include <variant>

#include "control/status_routes.h"
#include "control/waypoints.h"

namespace mesh::control {
namespace {

using manifest::AuthorizationAction;
using manifest::AuthorizationPolicy;
using manifest::Kind;
using manifest::Metadata;
using manifest::Service;

// The conditions on HTTP that a policy has, by the names that manifests give them.
std::set<std::string> http_attributes(const AuthorizationPolicy& policy) {
  std::set<std::string> found;
  const auto note = [&](const auto& values, const char* name) {
    if (!values.empty()) found.insert(name);
  };
  for (const manifest::AuthorizationRule& rule : policy.rules) {
    for (const manifest::Source& from : rule.from) {
      note(from.request_principals, "requestPrincipals");
      note(from.not_request_principals, "notRequestPrincipals");
      note(from.remote_ip_blocks, "remoteIpBlocks");
      note(from.not_remote_ip_blocks, "notRemoteIpBlocks");
    }
    for (const manifest::Operation& to : rule.to) {
      note(to.hosts, "hosts");
      note(to.not_hosts, "notHosts");
      note(to.methods, "methods");
      note(to.not_methods, "notMethods");
      note(to.paths, "paths");
      note(to.not_paths, "notPaths");
    }
    for (const manifest::Condition& when : rule.when) {
      static const std::set<std::string_view> kSeen = {"source.ip",        "source.namespace",
                                                       "source.principal", "source.serviceAccount",
                                                       "destination.ip",   "destination.port"};
      if (!kSeen.contains(when.key)) found.insert(when.key);
    }
  }
  return found;
}

StatusCondition ztunnel_status(const AuthorizationPolicy& policy) {
  const auto said = [](bool holds, std::string message) {
    return StatusCondition{"ZtunnelAccepted", holds, "UnsupportedValue", std::move(message)};
  };
  if (policy.action == AuthorizationAction::kAudit) {
    return said(false, "AUDIT has no effect without a waypoint");
  }
  if (policy.action == AuthorizationAction::kCustom) {
    return said(true, "CUSTOM needs a waypoint: what it would ask about is denied");
  }
  const std::set<std::string> found = http_attributes(policy);
  if (found.empty()) return {"ZtunnelAccepted", true, "Accepted", "enforced by ztunnel"};
  std::string names;
  for (const std::string& name : found) names += (names.empty() ? "" : ", ") + name;
  const bool deny = policy.action == AuthorizationAction::kDeny;
  return said(true, "conditions on HTTP (" + names + ") need a waypoint. " +
                        (deny ? "This DENY is enforced without them: it refuses more than it says"
                              : "What this ALLOW admits by them is refused"));
}

// What became of one target of a policy: a condition's reason and message.
struct Attachment {
  std::string reason = "Accepted";
  std::string message;

  bool good() const { return reason == "Accepted"; }
};

Attachment attach_service(const World& world, const std::string& ns, const Metadata* target,
                          const manifest::TargetRef& ref) {
  if (target == nullptr) {
    return {"TargetNotFound", "there is no " + ref.kind + " " + ns + "/" + ref.name};
  }
  const WaypointBinding binding = bind_waypoint(world, *target, WaypointTraffic::kService);
  if (binding.outcome != Binding::kBound) {
    return {"AncestorNotBound", ref.kind + " " + ns + "/" + ref.name + " has no waypoint"};
  }
  return {"Accepted", "bound to " + binding.ns + "/" + binding.name};
}

Attachment attach(const World& world, const Settings& settings, const std::string& ns,
                  const manifest::TargetRef& ref) {
  if (ref.kind == "Service") {
    const auto* service = world.find<Service>(ns, ref.name);
    return attach_service(world, ns, service == nullptr ? nullptr : &service->metadata, ref);
  }
  if (ref.kind == "ServiceEntry") {
    const auto* entry = world.find<manifest::ServiceEntry>(ns, ref.name);
    return attach_service(world, ns, entry == nullptr ? nullptr : &entry->metadata, ref);
  }
  if (ref.kind == "Gateway") {
    const auto* gateway = world.find<manifest::Gateway>(ns, ref.name);
    if (gateway == nullptr || !is_waypoint(*gateway)) {
      return {"TargetNotFound", "there is no waypoint " + ns + "/" + ref.name};
    }
    return {"Accepted", "bound to " + ns + "/" + ref.name};
  }
  if (ns != settings.root_namespace) {
    return {"Invalid",
            "a policy for a GatewayClass must be in namespace " + settings.root_namespace};
  }
  const bool known = ref.name == "istio-waypoint" || ref.name == "weft-waypoint";
  if (!known) return {"TargetNotFound", ref.name + " is not a class of waypoints"};
  return {"Accepted", "bound to " + ref.name};
}

StatusCondition attachment_status(const World& world, const Settings& settings,
                                  const AuthorizationPolicy& policy) {
  StatusCondition status = targets_status(world, settings, policy.metadata.ns, policy.targets);
  if (status.holds && policy.action == AuthorizationAction::kCustom &&
      world.mesh().authorizer(policy.provider) == nullptr) {
    return {"WaypointAccepted", false, "UnsupportedValue",
            "provider " + policy.provider + " is not known: what it would be asked is denied"};
  }
  return status;
}

bool waits_for_waypoint(const World& world, const AuthorizationPolicy& policy) {
  return std::any_of(
      policy.targets.begin(), policy.targets.end(), [&](const manifest::TargetRef& ref) {
        if (ref.kind != "Service") return false;
        const auto* service = world.find<Service>(policy.metadata.ns, ref.name);
        return service != nullptr &&
               bind_waypoint(world, service->metadata, WaypointTraffic::kService).outcome ==
                   Binding::kNone;
      });
}

// The waypoint's own listener: HBONE, and nothing else.
ListenerStatus listener_status(const manifest::Listener& listener, bool programmed) {
  const bool hbone = listener.protocol == "HBONE";
  const std::string reason = hbone ? "Accepted" : "UnsupportedProtocol";
  const std::string said =
      hbone ? "no problems" : "a waypoint's listener must have the protocol HBONE";
  return {.name = listener.name,
          .attached_routes = 0,
          .conditions = {{"Accepted", hbone, reason, said},
                         {"Conflicted", false, "NoConflicts", "no problems"},
                         {"Programmed", hbone && programmed,
                          !hbone       ? "Invalid"
                          : programmed ? "Programmed"
                                       : "Pending",
                          hbone && !programmed ? "the waypoint has no pods yet" : said},
                         {"ResolvedRefs", true, "ResolvedRefs", "no problems"}}};
}

ObjectStatus gateway_status(const World& world, const Settings& settings,
                            const ReadyWaypoints& ready, const manifest::Gateway& gateway) {
  const Metadata& metadata = gateway.metadata;
  const std::string host = metadata.name + "." + metadata.ns + ".svc." + settings.cluster_domain;
  const bool programmed = ready.has(metadata.ns, metadata.name);
  const bool accepted =
      std::any_of(gateway.listeners.begin(), gateway.listeners.end(),
                  [](const manifest::Listener& listener) { return listener.protocol == "HBONE"; });
  ObjectStatus status{.object = {Kind::kGateway, metadata.ns, metadata.name},
                      .generation = metadata.generation};
  status.conditions = {
      {"Accepted", accepted, accepted ? "Accepted" : "ListenersNotValid",
       accepted ? "the waypoint is accepted" : "a waypoint needs a listener of protocol HBONE"},
      {"Programmed", accepted && programmed,
       !accepted    ? "Invalid"
       : programmed ? "Programmed"
                    : "AddressNotAssigned",
       programmed ? "serving at " + host + ":15008" : "no pod is behind " + host + " yet"},
      {"ResolvedRefs", true, "ResolvedRefs", "all references are resolved"}};
  for (const manifest::Listener& listener : gateway.listeners) {
    status.listeners.push_back(listener_status(listener, programmed));
  }
  const auto* service = world.find<Service>(metadata.ns, metadata.name);
  if (!programmed || service == nullptr) return status;
  for (const net::IpAddress& ip : service->cluster_ips) {
    status.addresses.push_back({.type = "IPAddress", .value = ip.to_string()});
  }
  status.addresses.push_back({.type = "Hostname", .value = host});
  return status;
}

StatusCondition partly(const std::vector<std::string>& faults) {
  return {std::string(kAccepted), true, "PartiallyInvalid", message_of(faults)};
}

template <class T>
void add_bound(const World& world, const Settings& settings, const ReadyWaypoints& ready, Kind kind,
               std::vector<ObjectStatus>& into) {
  const bool is_workload = kind == Kind::kWorkloadEntry;
  for (const T* object : world.all<T>()) {
    StatusConditions conditions = waypoint_status(world, ready, object->metadata, is_workload);
    if constexpr (std::is_same_v<T, manifest::ServiceEntry>) {
      const bool wild = std::any_of(object->hosts.begin(), object->hosts.end(),
                                    [](const std::string& host) { return host.starts_with("*"); });
      if (wild && (conditions.empty() || !conditions[0].holds)) {
        conditions.push_back({"istio.io/WaypointMissing", true, "NoWaypointForWildcardService",
                              "a host with a wildcard has no effect without a waypoint"});
      }
    }
    const auto faults = faults_of_annotations(settings, kind, object->metadata);
    if (!faults.empty()) conditions.push_back(partly(faults));
    if (conditions.empty()) continue;
    into.push_back({.object = {kind, object->metadata.ns, object->metadata.name},
                    .generation = object->metadata.generation,
                    .conditions = std::move(conditions)});
  }
}

// Rules of traffic are spoken of when there is something of them that is not done.
template <class T>
void add_unhonoured(const World& world, const Settings& settings, Kind kind,
                    std::vector<ObjectStatus>& into) {
  for (const T* rule : world.all<T>()) {
    std::vector<std::string> faults = faults_of_annotations(settings, kind, rule->metadata);
    faults.insert(faults.end(), rule->unhonoured.begin(), rule->unhonoured.end());
    if (faults.empty()) continue;
    into.push_back({.object = {kind, rule->metadata.ns, rule->metadata.name},
                    .generation = rule->metadata.generation,
                    .conditions = {partly(faults)}});
  }
}

void add_classes(const World& world, std::vector<ObjectStatus>& into) {
  for (const auto* gateway_class : world.all<manifest::GatewayClass>()) {
    const bool ours = std::find(std::begin(kClassControllers), std::end(kClassControllers),
                                gateway_class->controller) != std::end(kClassControllers);
    if (!ours) continue;
    into.push_back({.object = {Kind::kGatewayClass, "", gateway_class->metadata.name},
                    .generation = gateway_class->metadata.generation,
                    .conditions = {{"Accepted", true, "Accepted", "served by weft-control"}}});
  }
}

}  // namespace

ReadyWaypoints::ReadyWaypoints(const World& world) {
  for (const auto* gateway : world.all<manifest::Gateway>()) {
    if (!is_waypoint(*gateway)) continue;
    const std::string& ns = gateway->metadata.ns;
    const auto* service = world.find<Service>(ns, gateway->metadata.name);
    if (service == nullptr || service->selector.empty()) continue;
    for (const manifest::Pod* pod : world.all_in<manifest::Pod>(ns)) {
      if (!is_running(*pod) || !selects(service->selector, pod->metadata.labels)) continue;
      names_.emplace(ns, gateway->metadata.name);
      break;
    }
  }
}

StatusConditions waypoint_status(const World& world, const ReadyWaypoints& ready,
                                 const Metadata& object, bool is_workload) {
  const WaypointBinding binding = bind_waypoint(
      world, object, is_workload ? WaypointTraffic::kWorkload : WaypointTraffic::kService);
  const std::string name = binding.ns + "/" + binding.name;
  const auto said = [](bool holds, std::string reason, std::string message) {
    return StatusConditions{
        {"istio.io/WaypointBound", holds, std::move(reason), std::move(message)}};
  };
  switch (binding.outcome) {
    case Binding::kNone:
      return {};
    case Binding::kMissing:
      return said(false, "WaypointIsNotReady",
                  "there is no waypoint " + name + ": traffic is refused until there is");
    case Binding::kDenied:
      return said(false, "AttachmentDenied",
                  "the allowedRoutes of waypoint " + name + " do not admit namespace " + object.ns +
                      ": traffic is refused");
    case Binding::kWrongTraffic:
    case Binding::kForNothing:
      return said(false, "UnsupportedTrafficType",
                  "waypoint " + name + " is not for " + (is_workload ? "workloads" : "services"));
    case Binding::kBound:
      break;
  }
  if (!ready.has(binding.ns, binding.name)) {
    return said(false, "WaypointIsNotReady",
                "waypoint " + name + " has no pod: traffic is refused until it has");
  }
  return said(true, "WaypointAccepted", "bound to waypoint " + name);
}

StatusCondition targets_status(const World& world, const Settings& settings, const std::string& ns,
                               const std::vector<manifest::TargetRef>& targets) {
  std::size_t good = 0;
  Attachment first_good;
  Attachment first_bad;
  for (const manifest::TargetRef& ref : targets) {
    const Attachment attachment = attach(world, settings, ns, ref);
    if (attachment.good()) {
      if (good++ == 0) first_good = attachment;
    } else if (first_bad.good()) {
      first_bad = attachment;
    }
  }
  if (good == targets.size()) {
    return {"WaypointAccepted", true, "Accepted", first_good.message};
  }
  if (good > 0) return {"WaypointAccepted", true, "PartiallyInvalid", first_bad.message};
  return {"WaypointAccepted", false, first_bad.reason, first_bad.message};
}

std::vector<std::string> faults_of_annotations(const Settings& settings, Kind kind,
                                               const Metadata& object) {
  if (settings.annotation_faults == nullptr) return {};
  return settings.annotation_faults(kind, object);
}

std::string message_of(const std::vector<std::string>& faults) {
  std::string message;
  for (const std::string& fault : faults) {
    if (message.size() > 1024) break;
    if (!message.empty()) message += "; ";
    message += fault;
  }
  return message;
}

StatusConditions policy_status(const World& world, const Settings& settings,
                               const AuthorizationPolicy& policy) {
  if (policy.targets.empty()) return {ztunnel_status(policy)};
  StatusConditions conditions{attachment_status(world, settings, policy)};
  // Without a waypoint it is ztunnel that enforces it, on the pods behind the Service.
  if (waits_for_waypoint(world, policy)) conditions.push_back(ztunnel_status(policy));
  return conditions;
}

bool is_route(Kind kind) {
  return kind == Kind::kHttpRoute || kind == Kind::kGrpcRoute || kind == Kind::kTcpRoute ||
         kind == Kind::kTlsRoute;
}

void refuse(ObjectStatus& status, std::int64_t generation, const std::string& message) {
  status.generation = generation;
  const auto said = [&](std::string_view type) {
    return StatusConditions{{std::string(type), false, "Invalid", message}};
  };
  for (ParentStatus& parent : status.parents) parent.conditions = said("Accepted");
  const Kind kind = status.object.kind;
  if (is_route(kind)) return;
  status.listeners.clear();
  status.conditions = said(kind == Kind::kAuthorizationPolicy ? "ZtunnelAccepted"
                           : kind == Kind::kGateway || kind == Kind::kGatewayClass ? "Accepted"
                                                                                   : kAccepted);
}

std::vector<ObjectStatus> compute_statuses(const World& world, const Settings& settings) {
  const ReadyWaypoints ready(world);
  std::vector<ObjectStatus> statuses;
  add_bound<Service>(world, settings, ready, Kind::kService, statuses);
  for (const auto* policy : world.all<AuthorizationPolicy>()) {
    statuses.push_back(
        {.object = {Kind::kAuthorizationPolicy, policy->metadata.ns, policy->metadata.name},
         .generation = policy->metadata.generation,
         .conditions = policy_status(world, settings, *policy)});
  }
  add_bound<manifest::WorkloadEntry>(world, settings, ready, Kind::kWorkloadEntry, statuses);
  add_bound<manifest::ServiceEntry>(world, settings, ready, Kind::kServiceEntry, statuses);
  for (const auto* gateway : world.all<manifest::Gateway>()) {
    if (is_waypoint(*gateway)) statuses.push_back(gateway_status(world, settings, ready, *gateway));
  }
  add_classes(world, statuses);
  add_route_statuses(world, settings, statuses);
  add_unhonoured<manifest::DestinationRule>(world, settings, Kind::kDestinationRule, statuses);
  add_unhonoured<manifest::VirtualService>(world, settings, Kind::kVirtualService, statuses);
  for (const auto* telemetry : world.all<manifest::Telemetry>()) {
    statuses.push_back(
        {.object = {Kind::kTelemetry, telemetry->metadata.ns, telemetry->metadata.name},
         .generation = telemetry->metadata.generation,
         .conditions = {telemetry_status(world, settings, *telemetry)}});
  }
  return statuses;
}

}  // namespace mesh::control
