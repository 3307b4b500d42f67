#include "waypoint/config/model.h"

namespace mesh::waypoint::config {

std::string Endpoint::key() const {
  if (via) return address.to_string() + "@" + via->to_string();
  if (hostname.empty() || resolved) return address.to_string();
  return hostname + ":" + std::to_string(address.port);
}

const Destination& Snapshot::find(const net::SocketAddress& target) const {
  const auto found = by_address->exact.find(target);
  if (found != by_address->exact.end()) return found->second;
  for (const Block& block : by_address->blocks) {
    if (block.block.contains(target.ip) && (!block.port || *block.port == target.port)) {
      return block.destination;
    }
  }
  return direct;
}

const Destination* Snapshot::find_host(std::string_view authority) const {
  const auto found = by_hostname->find(to_lower(authority));
  return found == by_hostname->end() ? nullptr : &found->second;
}

const Cluster* Snapshot::cluster(std::string_view name) const {
  const auto found = clusters->find(name);
  return found == clusters->end() ? nullptr : found->second.get();
}

const Endpoints* Snapshot::endpoints_of(const Cluster& cluster) const {
  if (cluster.discovery != Cluster::Discovery::kEds) return cluster.inline_endpoints.get();
  const auto found = endpoints->find(cluster.eds_name.empty() ? cluster.name : cluster.eds_name);
  return found == endpoints->end() ? nullptr : found->second.get();
}

}  // namespace mesh::waypoint::config
