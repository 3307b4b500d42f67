#include "ztunnel/route.h"

#include <algorithm>

namespace mesh::ztunnel {

using workload::Choice;
using workload::Directory;
using workload::Found;
using workload::GatewayAddress;
using workload::Service;
using workload::ServicePtr;
using workload::Workload;
using workload::WorkloadPtr;

bool is_proxy_port(std::uint16_t port) {
  return port == kOutboundPort || port == kPlaintextPort || port == kHbonePort || port == kDnsPort;
}

namespace {

Route refuse(Reason reason) { return {.way = Route::Way::kRefuse, .reason = reason}; }

Route pass_through(const net::SocketAddress& address) {
  Route way{.way = Route::Way::kPassthrough};
  way.address = address;
  return way;
}

workload::Place place_of(const RouteRequest& request) {
  if (request.source != nullptr) return workload::Place::of(*request.source);
  return {.network = request.network};
}

// A second random number from the first, so that one connection's waypoint and endpoint are chosen
// independently (splitmix64).
std::uint64_t next_random(std::uint64_t random) {
  random += 0x9e3779b97f4a7c15;
  random = (random ^ (random >> 30)) * 0xbf58476d1ce4e5b9;
  random = (random ^ (random >> 27)) * 0x94d049bb133111eb;
  return random ^ (random >> 31);
}

bool is_own_port(const RouteRequest& request) {
  if (!is_proxy_port(request.dialled.port)) return false;
  return request.dialled.ip.is_loopback() || request.dialled.ip.is_unspecified() ||
         std::ranges::find(request.own_addresses, request.dialled.ip) !=
             request.own_addresses.end();
}

ServicePtr pointer_to(const Directory& directory, const Service& service) {
  for (const ServicePtr& one : directory.services_of_hostname(service.key.hostname)) {
    if (one.get() == &service) return one;
  }
  return nullptr;
}

// A tunnel to `choice`, carrying connections for `authority`.
Route tunnel(const Choice& choice, const Service* names, const net::IpAddress& like,
             std::uint16_t hbone_port, std::string authority) {
  const auto identity = choice.workload->identity();
  const auto ip = workload::choose_address(*choice.workload, names, like);
  if (!identity) return refuse(Reason::kNoIdentity);
  if (!ip) return refuse(Reason::kNoEndpoint);
  Route way{.way = Route::Way::kTunnel};
  way.address = {*ip, hbone_port};
  way.authority = std::move(authority);
  way.destination = choice.workload;
  way.accepted.push_back(*identity);
  return way;
}

// Through a waypoint, or null when the source itself is (one of) it.
std::optional<Route> route_waypoint(const Directory& directory, const RouteRequest& request,
                                    const GatewayAddress& gateway) {
  const auto choice =
      find_gateway(directory, gateway, place_of(request), next_random(request.random));
  if (!choice) return refuse(Reason::kWaypointMissing);
  if (request.source != nullptr && choice->workload->ns == request.source->ns &&
      choice->workload->service_account == request.source->service_account &&
      choice->workload->trust_domain == request.source->trust_domain) {
    return std::nullopt;
  }
  if (choice->workload->network != request.network) return refuse(Reason::kUnreachable);
  // A waypoint ends tunnels itself, whatever is said of connections to its pod.
  Route way = tunnel(*choice, nullptr, request.dialled.ip, choice->target_port,
                     request.dialled.to_string());
  if (way.way == Route::Way::kRefuse) way.reason = Reason::kWaypointMissing;
  way.through_waypoint = true;
  return way;
}

Route route_to_member(const RouteRequest& request, const Choice& choice, const Service* service) {
  const Workload& member = *choice.workload;
  if (member.network != request.network) return refuse(Reason::kUnreachable);
  const auto ip = workload::choose_address(member, service, request.dialled.ip);
  if (!ip) return refuse(Reason::kNoEndpoint);
  const net::SocketAddress target{*ip, choice.target_port};
  if (member.tunnel != workload::TunnelProtocol::kHbone) {
    Route way = pass_through(target);
    way.destination = choice.workload;
    return way;
  }
  Route way = tunnel(choice, service, *ip, kHbonePort, target.to_string());
  if (way.way == Route::Way::kTunnel && service != nullptr) {
    for (const std::string& name : service->subject_alt_names) {
      if (auto id = net::SpiffeId::parse(name)) way.accepted.push_back(*std::move(id));
    }
  }
  return way;
}

Route route_unknown(const RouteRequest& request) {
  if (request.unknown == UnknownDestinations::kRefuse) return refuse(Reason::kPassthroughRefused);
  return pass_through(request.dialled);
}

Route route_service(const Directory& directory, const RouteRequest& request,
                    const Service& service) {
  if (const GatewayAddress* waypoint = workload::choose_waypoint(service, request.random)) {
    if (auto way = route_waypoint(directory, request, *waypoint)) return *std::move(way);
  }
  if (service.load_balancing.mode == workload::LoadBalancing::Mode::kPassthrough) {
    // The address is an endpoint by itself: a workload if we know it.
    if (const Workload* at = directory.find_workload_at({request.network, request.dialled.ip})) {
      return route_to_member(
          request,
          {.workload = directory.find_workload_ptr(at->uid), .target_port = request.dialled.port},
          &service);
    }
    return pass_through(request.dialled);
  }
  const auto choice = workload::choose_endpoint(directory, service, request.dialled.port,
                                                place_of(request), next_random(request.random));
  if (!choice) return refuse(choice.error().reason);
  return route_to_member(request, *choice, &service);
}

Route route_workload(const Directory& directory, const RouteRequest& request,
                     const Workload& target) {
  if (target.waypoint) {
    if (auto way = route_waypoint(directory, request, *target.waypoint)) return *std::move(way);
  }
  return route_to_member(
      request,
      {.workload = directory.find_workload_ptr(target.uid), .target_port = request.dialled.port},
      nullptr);
}

}  // namespace

Result<Choice> find_gateway(const Directory& directory, const GatewayAddress& gateway,
                            const workload::Place& caller, std::uint64_t random) {
  if (const auto* key = std::get_if<workload::ServiceKey>(&gateway.destination)) {
    const Service* service = directory.find_service(key->ns, key->hostname);
    if (service == nullptr) return failed(Reason::kWaypointMissing, "find the waypoint");
    TRY(Choice choice,
        workload::choose_endpoint(directory, *service, gateway.hbone_port, caller, random));
    return choice;
  }
  const auto& at = std::get<workload::NetworkAddress>(gateway.destination);
  const Found found = directory.find({at.network, at.ip}, {});
  switch (found.what) {
    case Found::What::kService: {
      TRY(Choice choice,
          workload::choose_endpoint(directory, *found.service, gateway.hbone_port, caller, random));
      return choice;
    }
    case Found::What::kWorkload:
      return Choice{.workload = directory.find_workload_ptr(found.workload->uid),
                    .target_port = gateway.hbone_port};
    case Found::What::kRefused:
    case Found::What::kAbsent:
      break;
  }
  return failed(Reason::kWaypointMissing, "find the waypoint");
}

Route route(const Directory& directory, const RouteRequest& request) {
  if (is_own_port(request)) return refuse(Reason::kLoop);
  const Found found = directory.find({request.network, request.dialled.ip},
                                     {.ns = request.ns, .preferred_ns = request.preferred_ns});
  switch (found.what) {
    case Found::What::kRefused:
      return refuse(Reason::kRejectedResource);
    case Found::What::kService: {
      Route way = route_service(directory, request, *found.service);
      way.service = pointer_to(directory, *found.service);
      return way;
    }
    case Found::What::kWorkload:
      return route_workload(directory, request, *found.workload);
    case Found::What::kAbsent:
      break;
  }
  return route_unknown(request);
}

}  // namespace mesh::ztunnel
