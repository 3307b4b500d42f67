#pragma once
// Assembly: what control has sent so far, decoded, and the snapshots that are built of it.
//
// A cluster is used from when its endpoints and its secrets are known, a listener from when its
// routes and the clusters that they name are; until then what was there before stays in force. What
// was refused changes nothing: the last good resource of that name stays. A listener that is
// refused for one of its chains and has no last good one is taken with that chain closed.

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "waypoint/config/decode.h"
#include "waypoint/config_dump.h"
#include "waypoint/control_plane.h"
#include "waypoint/secrets.h"

namespace mesh::waypoint {

class Assembly final : public SnapshotStore {
 public:
  std::vector<Refused> take(EnvoyType type, std::span<const xds::RawResource> resources,
                            std::span<const std::string> removed) override;
  std::set<std::string> wanted(EnvoyType type) const override;
  config::SnapshotPtr build(std::uint64_t number, std::string_view version) override;
  bool waits_for_secrets() const override;
  void give_up_secrets() override;

  // As they came, the last good of each: for /config_dump.
  const KeptResources& kept() const { return kept_; }
  // Why the newest listener is not in force yet; empty: it is.
  const std::string& waiting_for() const { return waiting_for_; }

 private:
  using Names = std::set<std::string>;

  void take_one(EnvoyType type, const xds::RawResource& resource, std::vector<Refused>& refused);
  void remove(EnvoyType type, const std::string& name);
  bool is_warm(const config::Cluster& cluster) const;
  void warm_clusters();
  bool warm_listener(const config::Listener& main);
  config::ChainPtr complete(const config::ChainPtr& chain) const;
  config::Destination complete(const config::Destination& destination);
  void rebuild_destinations(const config::Listener& main);
  void add_not_honoured(const std::string& key, std::vector<config::NotHonoured> found);

  KeptResources kept_;
  // As received, the last good of each.
  std::map<std::string, std::shared_ptr<const config::Listener>> listeners_;
  std::map<std::string, config::ClusterPtr> clusters_;
  std::map<std::string, config::EndpointsPtr, std::less<>> endpoints_;
  std::map<std::string, config::RouteTablePtr, std::less<>> routes_;
  std::map<std::string, config::Extension, std::less<>> extensions_;
  Secrets secrets_;
  Names answered_endpoints_;  // there, or said to be gone
  std::map<std::string, config::Originate> originates_;
  std::map<std::string, std::vector<config::NotHonoured>> not_honoured_;

  // In force.
  std::shared_ptr<const config::Listener> main_;
  std::map<std::string, config::ClusterPtr, std::less<>> in_force_;
  bool parts_changed_ = true;  // routes or extensions
  std::shared_ptr<const config::Listener> destinations_of_;
  std::map<const config::Chain*, config::ChainPtr> completed_;
  std::shared_ptr<const config::Snapshot::Destinations> by_address_;
  std::shared_ptr<const config::Snapshot::Hostnames> by_hostname_;
  config::Destination direct_;
  std::string waiting_for_;
};

}  // namespace mesh::waypoint
