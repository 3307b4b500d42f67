#include "control/hub.h"

#include <algorithm>
#include <utility>

namespace mesh::control {

Hub::Hub(Settings settings, std::uint64_t first_version,
         std::function<void(std::uint64_t)> published)
    : settings_(std::move(settings)),
      first_version_(first_version),
      published_(std::move(published)) {}

void Hub::publish(std::shared_ptr<const World> world, std::vector<manifest::Problem> problems,
                  bool was_good) {
  const std::shared_ptr<const Snapshot> before = snapshot();
  std::shared_ptr<const Snapshot> next;
  if (was_good) {
    next = make_snapshot(std::move(world), settings_, before.get(), first_version_);
    if (before == nullptr || next->version != before->version) published_(next->version);
  }
  std::vector<std::shared_ptr<Follower>> followers;
  {
    const std::lock_guard lock(mutex_);
    problems_ = std::move(problems);
    if (next == nullptr) return;
    snapshot_ = next;
    for (const auto& [key, follower] : followers_) {
      if (auto alive = follower.lock()) followers.push_back(std::move(alive));
    }
  }
  for (const auto& follower : followers) follower->follow(next);
}

std::shared_ptr<const Snapshot> Hub::snapshot() const {
  const std::lock_guard lock(mutex_);
  return snapshot_;
}

std::vector<manifest::Problem> Hub::problems() const {
  const std::lock_guard lock(mutex_);
  return problems_;
}

void Hub::add(const std::shared_ptr<Follower>& follower) {
  std::shared_ptr<const Snapshot> snapshot;
  {
    const std::lock_guard lock(mutex_);
    followers_[follower.get()] = follower;
    snapshot = snapshot_;
  }
  if (snapshot != nullptr) follower->follow(std::move(snapshot));
}

void Hub::remove(const Follower* follower) {
  const std::lock_guard lock(mutex_);
  followers_.erase(follower);
}

std::vector<NodeStatus> Hub::nodes() const {
  std::shared_ptr<const Snapshot> snapshot;
  std::vector<std::shared_ptr<Follower>> followers;
  {
    const std::lock_guard lock(mutex_);
    snapshot = snapshot_;
    for (const auto& [key, follower] : followers_) {
      if (auto alive = follower.lock()) followers.push_back(std::move(alive));
    }
  }
  std::map<std::string, NodeStatus> nodes;
  if (snapshot != nullptr) {
    for (const manifest::Pod* pod : snapshot->world->all<manifest::Pod>()) {
      if (pod->node_name.empty() || !is_running(*pod)) continue;
      if (is_enrolled(*snapshot->world, *pod)) ++nodes[pod->node_name].pods;
    }
  }
  for (const auto& follower : followers) {
    const Follower::Status status = follower->status();
    if (status.node.empty()) continue;  // not of a node, or not known yet
    NodeStatus& node = nodes[status.node];
    node.acked_version =
        node.connected ? std::min(node.acked_version, status.acked_version) : status.acked_version;
    node.pending = node.connected ? node.pending || !status.current : !status.current;
    node.connected = true;
    if (!status.last_nack.empty()) node.last_nack = status.last_nack;
  }
  std::vector<NodeStatus> list;
  for (auto& [name, node] : nodes) {
    node.node = name;
    list.push_back(std::move(node));
  }
  return list;
}

void Hub::count(std::uint64_t Counters::* counter, std::uint64_t by) {
  const std::lock_guard lock(mutex_);
  counters_.*counter += by;
}

Counters Hub::counters() const {
  const std::lock_guard lock(mutex_);
  return counters_;
}

}  // namespace mesh::control
