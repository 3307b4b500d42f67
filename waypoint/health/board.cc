#include "waypoint/health/board.h"

namespace mesh::waypoint {

void ClusterHealth::expect(std::string_view host, bool trusted) {
  const std::scoped_lock lock(mutex_);
  standings_[std::string(host)] = {.failed = !trusted};
  version_.fetch_add(1, std::memory_order_release);
}

void ClusterHealth::forget(std::string_view host) {
  const std::scoped_lock lock(mutex_);
  if (const auto found = standings_.find(host); found != standings_.end()) standings_.erase(found);
}

void ClusterHealth::record(std::string_view host, bool failed, bool degraded, bool changed,
                           bool passed) {
  const std::scoped_lock lock(mutex_);
  const auto found = standings_.find(host);
  if (found == standings_.end()) return;
  Standing& standing = found->second;
  const bool wanted = passed && standing.ejected;
  if (wanted) {
    ++standing.passes;
    standing.ejected = false;
  }
  standing.failed = failed;
  standing.degraded = degraded;
  if (changed || wanted) version_.fetch_add(1, std::memory_order_release);
}

void ClusterHealth::ejected(std::string_view host) {
  const std::scoped_lock lock(mutex_);
  if (const auto found = standings_.find(host); found != standings_.end()) {
    found->second.ejected = true;
  }
}

ClusterHealth::Standings ClusterHealth::all() const {
  const std::scoped_lock lock(mutex_);
  return standings_;
}

std::shared_ptr<ClusterHealth> HealthBoard::of(std::string_view cluster) {
  const std::scoped_lock lock(mutex_);
  std::erase_if(clusters_, [](const auto& item) { return item.second.expired(); });
  auto& known = clusters_[std::string(cluster)];
  auto health = known.lock();
  if (!health) known = health = std::make_shared<ClusterHealth>();
  return health;
}

}  // namespace mesh::waypoint
