#pragma once
// NamedHosts: the addresses behind the names of STRICT_DNS clusters, of one ring: each of them is a
// host of its own, to be balanced, checked and ejected by itself. A name is looked up again when
// its records, or the cluster, say so; while the servers do not answer the last good addresses
// stay.
//
// Limits: kNamesMax names; those beyond are looked up when they are dialled.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mesh/grpc/resolver.h"
#include "mesh/io/ring.h"
#include "mesh/io/task_scope.h"
#include "waypoint/config/model.h"

namespace mesh::waypoint {

// Threads: those of its ring. close() before it goes.
class NamedHosts {
 public:
  static constexpr std::size_t kNamesMax = 1024;
  static constexpr std::chrono::milliseconds kAgainMin{1000};

  // `changed` is called when of() gives something new.
  NamedHosts(io::Ring& ring, grpc::ResolverOptions options, std::function<void()> changed);
  ~NamedHosts();

  // Looks up what `snapshot` names, and nothing else.
  void prepare(const config::Snapshot& snapshot);
  // Null: nothing is known yet.
  config::EndpointsPtr of(const config::Cluster& cluster) const;
  io::Task<void> close();

 private:
  struct Name;
  struct Known {  // a cluster
    config::ClusterPtr cluster;
    config::EndpointsPtr endpoints;
    bool wanted = false;
  };

  void want(const config::Cluster& cluster, const std::string& host);
  void rebuild(Known& known) const;
  io::Task<void> watch(std::shared_ptr<Name> name);
  io::Task<void> watch_now(std::shared_ptr<Name> name);

  io::Ring& ring_;
  grpc::ResolverOptions options_;
  std::function<void()> changed_;
  std::map<std::string, std::shared_ptr<Name>, std::less<>> names_;
  std::map<std::string, Known, std::less<>> clusters_;
  io::TaskScope watching_;
};

// Those of a name's addresses that count in a cluster: of kAuto IPv6 where there is any. They keep
// their order.
std::vector<net::IpAddress> in_family(std::vector<net::IpAddress> addresses,
                                      config::Cluster::DnsFamily family);

// The endpoints of a cluster, as far as `names` (may be null) knows with their addresses.
config::EndpointsPtr endpoints_in(const config::Snapshot& snapshot, const config::Cluster& cluster,
                                  const NamedHosts* names);

}  // namespace mesh::waypoint
