#pragma once
// What a lane knows of the clusters that it sends to, and /clusters of all lanes together, in
// Envoy's two shapes. Pure.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace mesh::waypoint {

class Fleet;

struct BreakerRow {
  std::uint64_t limit[4] = {}, now[4] = {}, overflows[4] = {};  // by balance::Breaker::What
};

struct HostRow {
  std::string key = {};  // its address, or its name and port
  bool hbone = false;
  std::uint64_t active = 0;
  bool ejected = false, failed_checks = false, healthy = false;
  std::uint32_t weight = 1, priority = 0;
  std::string region = {}, zone = {}, sub_zone = {}, hostname = {};
};

struct ClusterRow {
  std::string name = {};
  BreakerRow normal = {}, high = {};  // counted over all lanes already
  std::vector<HostRow> hosts = {};
};
std::vector<ClusterRow> cluster_rows(const Fleet& fleet);

// One of each cluster and host: what is active is summed, who is out anywhere is out.
std::vector<ClusterRow> merge(std::span<const std::vector<ClusterRow>> lanes);
std::string clusters_text(std::span<const ClusterRow> rows);
std::string clusters_json(std::span<const ClusterRow> rows);
// "cluster.NAME.upstream_cx_overflow: 3" and the like.
std::string clusters_stats(std::span<const ClusterRow> rows);

}  // namespace mesh::waypoint
