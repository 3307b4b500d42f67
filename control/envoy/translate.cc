#include "control/envoy/translate.h"

#include <utility>

#include "control/envoy/build.h"
#include "control/envoy/clusters.h"
#include "control/envoy/endpoints.h"
#include "control/envoy/health_checks.h"
#include "control/envoy/listeners.h"
#include "control/envoy/own_balancer.h"
#include "control/resource_store.h"
#include "envoy/cluster.pb.h"
#include "envoy/endpoint.pb.h"
#include "envoy/listener.pb.h"

namespace mesh::control {
namespace {

void add(EnvoyType type, const std::string& name, const google::protobuf::MessageLite& message,
         WaypointConfig& to) {
  to.resources[static_cast<std::size_t>(type)][name] = bytes_of(message);
}

void add_cluster(const envoy::config::cluster::v3::Cluster& cluster, WaypointConfig& to) {
  add(EnvoyType::kCluster, cluster.name(), cluster, to);
}

void add_listener(const envoy::config::listener::v3::Listener& listener, WaypointConfig& to) {
  add(EnvoyType::kListener, listener.name(), listener, to);
}

// The subsets of the services that the waypoint stands before, whether a route names them or not.
void add_subsets(Build& build) {
  for (const CatalogService* service : build.catalog.services_behind(build.host)) {
    const manifest::DestinationRule* rule = build.rules.of(*service);
    if (rule == nullptr) continue;
    for (const CatalogPort& port : service->ports) {
      for (const manifest::Subset& subset : rule->subsets) {
        if (port.protocol != PortProtocol::kTcp) {
          build.cluster(*service, port.number, true, subset.name);
        }
        if (port.protocol == PortProtocol::kTcp || port.protocol == PortProtocol::kUnknown) {
          build.cluster(*service, port.number, false, subset.name);
        }
      }
    }
  }
}

// The object that says how it is called.
manifest::ObjectKey subject_of(const ClusterUse& use) {
  if (use.rule == nullptr) {
    const auto kind =
        use.service->is_entry ? manifest::Kind::kServiceEntry : manifest::Kind::kService;
    return {kind, use.service->ns, use.service->name};
  }
  return {manifest::Kind::kDestinationRule, use.rule->metadata.ns, use.rule->metadata.name};
}

void note_rule(Build& build, const ClusterUse& use, const std::string& text) {
  build.note(subject_of(use), text);
}

// What a rule asks for and does not get here; what it never gets is said of the object itself.
void note_unhonoured(Build& build, const ClusterUse& use) {
  const manifest::TrafficPolicy policy = traffic_policy(use.rule, use.subset, use.port.number);
  const auto& balancer = policy.load_balancer;
  if (!balancer) return;
  const bool fails_over =
      balancer->locality && balancer->locality->enabled &&
      (!balancer->locality->failover.empty() || !balancer->locality->priority.empty());
  if (fails_over && !weighs_localities(policy, *use.service)) {
    note_rule(build, use, "localityLbSetting has no effect without outlierDetection");
  }
  if (balancer->hash && !use.http && !hashes_connections(use)) {
    note_rule(build, use,
              "consistentHash is honoured for TCP by useSourceIp alone (port " +
                  std::to_string(use.port.number) + "): any endpoint may get a connection");
  }
}

}  // namespace

std::string_view type_url(EnvoyType type) {
  switch (type) {
    case EnvoyType::kCluster:
      return "type.googleapis.com/envoy.config.cluster.v3.Cluster";
    case EnvoyType::kEndpoint:
      return "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
    case EnvoyType::kListener:
      return "type.googleapis.com/envoy.config.listener.v3.Listener";
    case EnvoyType::kRoute:
      break;
  }
  return "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
}

std::string endpoints_bytes(const Catalog& catalog, const WaypointClient& client,
                            const ClusterUse& use) {
  return bytes_of(service_endpoints(catalog, client, use));
}

void note_left_out(const ClusterUse& use, std::map<std::string, PolicyNote>& notes) {
  std::string text = left_out(use);
  if (text.empty()) {
    notes.erase(use.name);
  } else {
    notes.insert_or_assign(use.name, PolicyNote{subject_of(use), std::move(text)});
  }
}

WaypointConfig translate_waypoint(const World& world, const Settings& settings,
                                  const Catalog& catalog, const WaypointClient& client) {
  Build build(world, settings, catalog, client);
  WaypointConfig to;
  add_listener(connect_terminate_listener(build), to);
  add_listener(connect_originate_listener(), to);
  add_listener(main_internal_listener(build), to);
  add_subsets(build);
  add_cluster(main_internal_cluster(), to);
  add_cluster(encap_cluster(), to);
  add_cluster(connect_originate_cluster(settings, client), to);
  for (const auto& [name, use] : build.clusters) {
    std::string problem;
    auto cluster = service_cluster(client, use, problem);
    const std::string notes[] = {fill_own_balancer(use, cluster),
                                 fill_health_check(client, use, cluster)};
    add_cluster(cluster, to);
    if (!problem.empty()) note_rule(build, use, problem);
    for (const std::string& note : notes) {
      if (!note.empty()) note_rule(build, use, note);
    }
    note_unhonoured(build, use);
    if (cluster.type() != envoy::config::cluster::v3::Cluster::EDS) {
      to.inlined.insert(use.service->key);
      continue;
    }
    add(EnvoyType::kEndpoint, name, service_endpoints(catalog, client, use), to);
    note_left_out(use, to.endpoint_notes);
    to.filled.push_back(use);
  }
  to.notes = std::move(build.notes);
  return to;
}

}  // namespace mesh::control
