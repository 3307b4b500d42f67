#pragma once
// The Service half of translate_workloads, and what both halves share.

#include <optional>
#include <string>
#include <string_view>

#include "control/translate_workloads.h"
#include "control/waypoints.h"
#include "workload.pb.h"

namespace mesh::control {

// Adds a Service for each Kubernetes Service and each host of a ServiceEntry.
void translate_services(const World& world, const Settings& settings, Addresses& into);

// "web.shop.svc.cluster.local"
std::string service_host(const manifest::Service& service, const Settings& settings);

// The mesh carries TCP. A UDP or SCTP port of a service is not one of ours.
bool is_tcp(std::string_view protocol);

// Workload or Service: fills its waypoint if the object has one.
template <class Message>
void set_waypoint(const std::optional<WaypointAddress>& waypoint, Message& into) {
  if (!waypoint) return;
  istio::workload::GatewayAddress* address = into.mutable_waypoint();
  address->mutable_hostname()->set_namespace_(waypoint->ns);
  address->mutable_hostname()->set_hostname(waypoint->hostname);
  address->set_hbone_mtls_port(15008);
}

std::string address_bytes(const net::IpAddress& ip);

}  // namespace mesh::control
