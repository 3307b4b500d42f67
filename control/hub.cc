#include "control/hub.h"

#include <algorithm>
#include <set>
#include <utility>

#include "control/waypoints.h"

namespace mesh::control {
namespace {

// The pods of waypoints that say they are ready, as Hub::waypoints() calls them.
std::vector<std::string> ready_proxies(const World& world) {
  std::set<std::string> namespaces;
  for (const auto* gateway : world.all<manifest::Gateway>()) {
    if (is_waypoint(*gateway)) namespaces.insert(gateway->metadata.ns);
  }
  std::vector<std::string> all;
  for (const std::string& ns : namespaces) {
    for (const auto* pod : world.all_in<manifest::Pod>(ns)) {
      const bool ready = pod->ready.value_or(false) && !pod->metadata.deleting && is_running(*pod);
      if (!ready || own_gateway(world, pod->metadata) == nullptr) continue;
      all.push_back("waypoint " + ns + "/" + pod->metadata.name);
    }
  }
  return all;
}

}  // namespace

Hub::Hub(Settings settings, std::uint64_t first_version,
         std::function<void(std::uint64_t)> published)
    : settings_(std::move(settings)),
      published_(std::move(published)),
      translation_(settings_, first_version) {}

void Hub::publish(std::shared_ptr<const World> world, std::vector<manifest::Problem> problems,
                  bool was_good) {
  const std::shared_ptr<const Snapshot> before = snapshot();
  std::shared_ptr<const Snapshot> next;
  if (was_good) {
    next = translation_.next(std::move(world));
    if (before == nullptr || next->version != before->version) published_(next->version);
  }
  std::vector<std::shared_ptr<Follower>> followers;
  {
    const std::lock_guard lock(mutex_);
    problems_ = std::move(problems);
    if (next == nullptr) return;
    snapshot_ = next;
    work_ = translation_.work();
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

Translation::Work Hub::work() const {
  const std::lock_guard lock(mutex_);
  return work_;
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

std::vector<std::shared_ptr<Follower>> Hub::alive() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Follower>> followers;
  for (const auto& [key, follower] : followers_) {
    if (auto alive = follower.lock()) followers.push_back(std::move(alive));
  }
  return followers;
}

std::vector<NodeStatus> Hub::waypoints() const {
  std::map<std::string, NodeStatus> proxies;
  if (const auto snapshot = this->snapshot()) {
    for (std::string& name : ready_proxies(*snapshot->world)) proxies[name].node = name;
  }
  for (const auto& follower : alive()) {
    for (Follower::Status& status : follower->proxies()) {
      NodeStatus& proxy = proxies[status.node];
      proxy = {.node = status.node,
               .connected = true,
               .acked_version = status.acked_version,
               .pending = !status.current,
               .last_nack = std::move(status.last_nack),
               .pods = 0,
               .types = std::move(status.types)};
    }
  }
  std::vector<NodeStatus> list;
  for (auto& [name, proxy] : proxies) list.push_back(std::move(proxy));
  return list;
}

std::vector<PolicyNote> Hub::notes() const {
  std::vector<PolicyNote> all;
  for (const auto& follower : alive()) {
    for (PolicyNote& note : follower->notes()) all.push_back(std::move(note));
  }
  return all;
}

std::vector<NodeStatus> Hub::nodes() const {
  const std::shared_ptr<const Snapshot> snapshot = this->snapshot();
  const std::vector<std::shared_ptr<Follower>> followers = alive();
  std::map<std::string, NodeStatus> nodes;
  if (snapshot != nullptr) {
    for (const auto& [name, pods] : snapshot->nodes) {
      if (pods->enrolled > 0) nodes[name].pods = pods->enrolled;
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
