#pragma once
// Secrets: the certificates, keys and roots that control sends by name, and the clusters that are
// filled in with them. Pure. The last good secret of a name stays, whatever is said of it later,
// until nobody names it any more.

#include <array>
#include <map>
#include <set>
#include <string>

#include "waypoint/config/cluster.h"

namespace mesh::waypoint {

class Secrets {
 public:
  using Names = std::set<std::string>;
  using Clusters = std::map<std::string, config::ClusterPtr>;

  static Names names_of(const Clusters& clusters);

  void take(const std::string& name, config::Secret secret);
  // `cluster` with what its secrets hold; the same one as long as nothing changes. Null: one of
  // them has not come.
  config::ClusterPtr fill_in(const config::ClusterPtr& cluster);
  // Whether one has not come that is still worth waiting for.
  bool any_due(const config::Cluster& cluster) const;
  // Nobody waits any longer for one that has not come; it is used when it comes.
  void give_up(const std::string& name);
  // Forgets what none of these names.
  void keep_only(const Clusters& clusters);

 private:
  struct Filled {
    config::ClusterPtr from, made;
    std::map<std::string, config::SecretPtr> with;
  };
  std::map<std::string, config::SecretPtr, std::less<>> secrets_;
  Names given_up_;
  std::map<std::string, Filled, std::less<>> filled_;  // by cluster
};

}  // namespace mesh::waypoint
