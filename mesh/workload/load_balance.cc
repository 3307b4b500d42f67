#include "mesh/workload/load_balance.h"

#include <algorithm>

namespace mesh::workload {
namespace {

using Scope = LoadBalancing::Scope;
using Mode = LoadBalancing::Mode;

bool holds(Scope scope, const Place& caller, const Place& member) {
  switch (scope) {
    case Scope::kRegion:
      return caller.region == member.region;
    case Scope::kZone:
      return caller.zone == member.zone;
    case Scope::kSubzone:
      return caller.subzone == member.subzone;
    case Scope::kNode:
      return caller.node == member.node;
    case Scope::kCluster:
      return caller.cluster_id == member.cluster_id;
    case Scope::kNetwork:
      return caller.network == member.network;
  }
  return false;
}

std::size_t rank_of(const LoadBalancing& balancing, const Place& caller, const Place& member) {
  if (balancing.mode == Mode::kStandard) return 0;
  const auto first_that_fails = std::ranges::find_if_not(
      balancing.preference, [&](Scope scope) { return holds(scope, caller, member); });
  return static_cast<std::size_t>(first_that_fails - balancing.preference.begin());
}

bool can_be_reached(const Workload& workload, const Place& caller) {
  if (!workload.addresses.empty() || !workload.hostname.empty()) return true;
  return workload.network != caller.network && workload.network_gateway.has_value();
}

// 0: this member does not serve the port.
std::uint16_t target_port_of(const Endpoint& endpoint, const Service& service, std::uint16_t port) {
  if (const auto own = endpoint.membership().target_port(port)) return *own;
  const Port* of_service = service.port(port);
  if (of_service == nullptr) return 0;
  if (of_service->target_port != 0) return of_service->target_port;
  if (!endpoint.workload->application_tunnel) return 0;
  return endpoint.workload->application_tunnel->port.value_or(port);
}

// A member that may be chosen: its rank, its weight.
struct Candidate {
  std::size_t rank = 0;
  std::uint16_t target_port = 0;
};

std::optional<Candidate> candidate(const Endpoint& endpoint, const Service& service,
                                   std::uint16_t port, const Place& caller) {
  const LoadBalancing& balancing = service.load_balancing;
  const Workload& workload = *endpoint.workload;
  if (workload.capacity == 0) return std::nullopt;
  if (workload.health == Health::kUnhealthy &&
      balancing.health == LoadBalancing::HealthPolicy::kOnlyHealthy) {
    return std::nullopt;
  }
  if (!can_be_reached(workload, caller)) return std::nullopt;
  const std::uint16_t target_port = target_port_of(endpoint, service, port);
  if (target_port == 0) return std::nullopt;
  const std::size_t rank = rank_of(balancing, caller, Place::of(workload));
  if (balancing.mode == Mode::kStrict && rank != balancing.preference.size()) return std::nullopt;
  return Candidate{.rank = rank, .target_port = target_port};
}

// 0 .. bound - 1, as evenly as 64 random bits allow.
std::uint64_t scaled(std::uint64_t random, std::uint64_t bound) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<std::uint64_t>((static_cast<Wide>(random) * bound) >> 64);
}

}  // namespace

Place Place::of(const Workload& workload) {
  return {.network = workload.network,
          .cluster_id = workload.cluster_id,
          .node = workload.node,
          .region = workload.locality.region,
          .zone = workload.locality.zone,
          .subzone = workload.locality.subzone};
}

namespace {

// Fewer than this are walked: twice, because nothing may be allocated for a connection.
constexpr std::size_t kTableFrom = 32;

Result<Choice> choose_among_few(const EndpointSet& set, const Service& service, std::uint16_t port,
                                const Place& caller, std::uint64_t random) {
  std::size_t best_rank = 0;
  std::uint64_t total = 0;
  set.members().for_each([&](const std::string&, const Endpoint& endpoint) {
    const std::optional<Candidate> one = candidate(endpoint, service, port, caller);
    if (!one || (total > 0 && one->rank < best_rank)) return;
    if (one->rank > best_rank) {
      best_rank = one->rank;
      total = 0;
    }
    total += endpoint.workload->capacity;
  });
  if (total == 0) return failed(Reason::kNoEndpoint, "choose endpoint");

  std::uint64_t left = scaled(random, total);
  Choice choice;
  set.members().for_each([&](const std::string&, const Endpoint& endpoint) {
    if (choice.workload != nullptr) return;
    const std::optional<Candidate> one = candidate(endpoint, service, port, caller);
    if (!one || one->rank != best_rank) return;
    if (left >= endpoint.workload->capacity) {
      left -= endpoint.workload->capacity;
      return;
    }
    choice = {.workload = endpoint.workload, .target_port = one->target_port};
  });
  MESH_CHECK(choice.workload != nullptr);
  return choice;
}

bool asks(const EndpointQuestion& question, const Service& service, std::uint16_t port,
          const Place& caller) {
  const Port* of_service = service.port(port);
  const bool same_port = of_service == nullptr
                             ? !question.service_port
                             : question.service_port && *question.service_port == *of_service;
  return question.port == port && same_port && question.node == caller.node &&
         question.zone == caller.zone && question.region == caller.region &&
         question.subzone == caller.subzone && question.network == caller.network &&
         question.cluster_id == caller.cluster_id && question.balancing == service.load_balancing;
}

// Those of the best rank; each one's weight is added to those before it.
std::vector<EndpointTable::Slot> best_ones(const EndpointSet& set, const Service& service,
                                           std::uint16_t port, const Place& caller) {
  std::vector<EndpointTable::Slot> slots;
  std::size_t best_rank = 0;
  set.members().for_each([&](const std::string&, const Endpoint& endpoint) {
    const std::optional<Candidate> one = candidate(endpoint, service, port, caller);
    if (!one || (!slots.empty() && one->rank < best_rank)) return;
    if (one->rank > best_rank) slots.clear();
    best_rank = one->rank;
    const std::uint64_t before = slots.empty() ? 0 : slots.back().until;
    slots.push_back({.until = before + endpoint.workload->capacity,
                     .endpoint = &endpoint,
                     .target_port = one->target_port});
  });
  return slots;
}

Result<Choice> pick(const std::vector<EndpointTable::Slot>& slots, std::uint64_t random) {
  if (slots.empty()) return failed(Reason::kNoEndpoint, "choose endpoint");
  const auto& slot = *std::ranges::upper_bound(slots, scaled(random, slots.back().until), {},
                                               &EndpointTable::Slot::until);
  return Choice{.workload = slot.endpoint->workload, .target_port = slot.target_port};
}

}  // namespace

Result<Choice> choose_endpoint(const Directory& directory, const Service& service,
                               std::uint16_t port, const Place& caller, std::uint64_t random) {
  const EndpointSet* set = directory.endpoints({service.key.ns, service.key.hostname});
  if (set == nullptr) return failed(Reason::kNoEndpoint, "choose endpoint");
  if (set->members().size() < kTableFrom) {
    return choose_among_few(*set, service, port, caller, random);
  }

  const EndpointTable* table = set->find_table(
      [&](const EndpointQuestion& question) { return asks(question, service, port, caller); });
  if (table != nullptr) return pick(table->slots, random);
  if (!set->has_room_for_table()) return choose_among_few(*set, service, port, caller, random);
  const Port* of_service = service.port(port);
  EndpointTable made{.question = {.balancing = service.load_balancing,
                                  .service_port = of_service != nullptr ? std::optional(*of_service)
                                                                        : std::nullopt,
                                  .port = port,
                                  .network = std::string(caller.network),
                                  .cluster_id = std::string(caller.cluster_id),
                                  .node = std::string(caller.node),
                                  .region = std::string(caller.region),
                                  .zone = std::string(caller.zone),
                                  .subzone = std::string(caller.subzone)},
                     .slots = best_ones(*set, service, port, caller)};
  Result<Choice> choice = pick(made.slots, random);
  (void)set->add_table(std::move(made));
  return choice;
}

const GatewayAddress* choose_waypoint(const Service& service, std::uint64_t random) {
  std::uint64_t total = 0;
  for (const WeightedWaypoint& one : service.weighted_waypoints) total += one.weight;
  if (service.weighted_waypoints.empty() || total == 0) {
    return service.waypoint ? &*service.waypoint : nullptr;
  }
  std::uint64_t left = scaled(random, total);
  for (const WeightedWaypoint& one : service.weighted_waypoints) {
    if (left < one.weight) return &one.gateway;
    left -= one.weight;
  }
  return nullptr;
}

std::optional<net::IpAddress> choose_address(const Workload& workload, const Service* service,
                                             const net::IpAddress& dialled) {
  if (workload.has_address(dialled)) return dialled;
  const IpFamilies families = service != nullptr ? service->ip_families : IpFamilies::kAutomatic;
  const auto allowed = [&](const net::IpAddress& ip) {
    return !(families == IpFamilies::kV4Only && ip.is_v6()) &&
           !(families == IpFamilies::kV6Only && ip.is_v4());
  };
  std::optional<net::IpAddress> other;
  for (const net::IpAddress& ip : workload.addresses) {
    if (!allowed(ip)) continue;
    if (ip.is_v4() == dialled.is_v4()) return ip;
    if (!other) other = ip;
  }
  return other;
}

}  // namespace mesh::workload
