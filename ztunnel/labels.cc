#include "ztunnel/labels.h"

namespace mesh::ztunnel {

using workload::Directory;
using workload::ServicePtr;
using workload::Workload;
using workload::WorkloadPtr;

telemetry::TcpEnd tcp_end(const Workload* workload, std::string_view principal) {
  if (workload == nullptr) return {.principal = principal};
  return {.workload = workload->workload_name,
          .canonical_service = workload->canonical_name,
          .canonical_revision = workload->canonical_revision,
          .workload_namespace = workload->ns,
          .principal = principal,
          .cluster = workload->cluster_id,
          .region = workload->locality.region,
          .zone = workload->locality.zone};
}

hbone::Baggage baggage_of(const Workload& workload) {
  return {.cluster = workload.cluster_id,
          .ns = workload.ns,
          .workload_type = std::string(workload::type_name(workload.type)),
          .workload = workload.workload_name,
          .service = workload.canonical_name,
          .revision = workload.canonical_revision,
          .region = workload.locality.region,
          .zone = workload.locality.zone};
}

WorkloadPtr stand_in_for(const PodInfo& pod, const std::string& trust_domain,
                         const std::string& cluster_id) {
  auto made = std::make_shared<Workload>();
  made->name = pod.name;
  made->ns = pod.ns;
  made->service_account = pod.service_account;
  made->trust_domain = trust_domain;
  made->cluster_id = cluster_id;
  return made;
}

WorkloadPtr caller_for_labels(const Directory& directory, std::string_view network,
                              const net::SocketAddress& peer, const net::SpiffeId* verified,
                              const std::optional<std::string>& baggage) {
  if (const Workload* at = directory.find_workload_at({network, peer.ip})) {
    if (verified == nullptr || at->identity() == *verified) {
      return directory.find_workload_ptr(at->uid);
    }
  }
  if (verified == nullptr) return nullptr;
  auto made = std::make_shared<Workload>();
  const auto claimed = baggage ? hbone::parse_baggage(*baggage) : std::nullopt;
  if (claimed && claimed->ns == verified->ns()) {
    made->ns = claimed->ns;
    made->name = claimed->service;
    made->workload_name = claimed->workload;
    made->canonical_name = claimed->service;
    made->canonical_revision = claimed->revision;
    made->cluster_id = claimed->cluster;
    made->locality = {.region = claimed->region, .zone = claimed->zone};
    return made;
  }
  return nullptr;
}

ServicePtr service_pointer(const Directory& directory, const workload::ServiceKey& key) {
  for (const ServicePtr& one : directory.services_of_hostname(key.hostname)) {
    if (one->key.ns == key.ns) return one;
  }
  return nullptr;
}

ServicePtr service_for_labels(const Directory& directory, const Workload& target,
                              std::uint16_t port, const std::optional<std::string>& forwarded) {
  const auto said = forwarded ? hbone::parse_forwarded(*forwarded) : std::nullopt;
  const workload::ServiceKey* chosen = nullptr;
  for (const workload::Membership& member : target.services) {
    bool has_port = false;
    for (const workload::Port& one : member.ports) has_port |= one.target_port == port;
    if (!has_port) continue;
    if (said && member.service.hostname == said->host) {
      chosen = &member.service;
      break;
    }
    if (chosen == nullptr || member.service.to_string() < chosen->to_string()) {
      chosen = &member.service;
    }
  }
  return chosen == nullptr ? nullptr : service_pointer(directory, *chosen);
}

}  // namespace mesh::ztunnel
