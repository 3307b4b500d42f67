#pragma once
// The Service half of translate_workloads, and what both halves share.

#include <optional>
#include <string>
#include <string_view>

#include "control/translate_workloads.h"
#include "control/waypoints.h"
#include "workload.pb.h"

namespace mesh::control {

// Adds the Service "NS/HOST", if there is one: of a Kubernetes Service, else of the ServiceEntries
// of that namespace that have the host.
void translate_service(const World& world, const Settings& settings, const WorldIndex& index,
                       const std::string& ns, const std::string& host, Addresses& into);

// Adds all of them.
void translate_services(const World& world, const Settings& settings, const WorldIndex& index,
                        Addresses& into);

// "web.shop.svc.cluster.local"
std::string service_host(const manifest::Service& service, const Settings& settings);
// The Kubernetes Service of that host, wherever the host is looked at from; nullptr: there is none.
const manifest::Service* service_of_host(const World& world, const Settings& settings,
                                         std::string_view host);

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
