#pragma once
// Upstreams: connections to endpoints, of one ring. Kept ones are used again: HTTP/1.1 one request
// at a time, HTTP/2 shared.

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mesh/base/result.h"
#include "mesh/hbone/tunnel_pool.h"
#include "mesh/identity/certificate.h"
#include "mesh/io/event.h"
#include "mesh/io/ring.h"
#include "mesh/io/task_scope.h"
#include "waypoint/balance/breaker.h"
#include "waypoint/config/cluster.h"
#include "waypoint/outside.h"
#include "waypoint/wire/h1_client.h"
#include "waypoint/wire/h2_session.h"

namespace mesh::waypoint {

struct UpstreamOptions {
  std::size_t idle_per_endpoint_max = 64;  // HTTP/1.1 connections that wait for a request
  std::size_t connections_max = 8192;      // all, of the ring
  std::size_t streams_per_connection = 100;
  io::Duration idle_deadline = std::chrono::hours(1);
  std::uint16_t hbone_port = 15008;
  grpc::ResolverOptions names = {};  // of endpoints outside the mesh
};

// A stream to an endpoint; nothing was sent on it.
struct OpenedUpstream {
  std::unique_ptr<wire::ClientStream> stream;
  net::SocketAddress local;  // our end
};

// Threads: those of its ring.
class Upstreams {
 public:
  // Who we are; none: nothing is opened (kNoIdentity).
  using Identity = std::function<std::shared_ptr<const identity::Certificate>()>;

  Upstreams(io::Ring& ring, hbone::TunnelPool& tunnels, Identity identity, std::string own_uid,
            UpstreamOptions options);
  ~Upstreams();  // after close()

  // kNew: a kept connection turned out dead, so none of those kept is trusted.
  enum class Reuse : std::uint8_t { kAny, kNew };
  // `breaker`: of the cluster. A connection counts there as long as it lives, a request while it
  // waits for one; where every connection is taken the request waits until one is free.
  //
  // Errors: kNoIdentity, kRefused, kUnreachable, kTimedOut (cluster.connect_timeout), kDenied (the
  // endpoint's ztunnel says 401), kWrongIdentity and the like, kExhausted, those of Outside,
  // kCancelled.
  io::Task<Result<OpenedUpstream>> open(const config::Cluster& cluster,
                                        const config::Endpoint& endpoint, wire::Version version,
                                        balance::Breaker& breaker, Reuse reuse = Reuse::kAny);
  // Whom tunnels to endpoints may lead to, beside having a certificate of our trust domain: names
  // of Envoy's connect_originate. Told before each configuration is used.
  void accept_only(std::vector<config::StringMatch> names) { accepted_ = std::move(names); }
  // A connection for opaque bytes, never kept; counting it is the caller's.
  io::Task<Result<std::unique_ptr<wire::Wire>>> dial(
      const config::Cluster& cluster, const config::Endpoint& endpoint,
      std::optional<wire::Version> version = std::nullopt);

  // Drops what has waited too long. Until cancelled.
  io::Task<void> tend();
  // Ends everything and joins it: what is at rest well, the rest with a reset after two seconds.
  io::Task<void> close();

  struct Counts {
    std::size_t connections = 0;
    std::uint64_t dialled = 0;
    std::uint64_t reused = 0;
  };
  const Counts& counts() const { return counts_; }

 private:
  struct Counted;
  struct Http1Entry;
  struct Http2Entry;
  struct Http2Use;  // one stream of an Http2Entry
  struct Group;     // of one cluster, endpoint and version

  Group& group(const config::Cluster& cluster, const config::Endpoint& endpoint,
               wire::Version version);
  io::Task<Result<std::unique_ptr<wire::Wire>>> dial_secure_tunnel(
      const config::Cluster& cluster, const config::Endpoint& endpoint,
      std::optional<wire::Version> version);
  io::Task<Result<std::unique_ptr<wire::Wire>>> dial_tunnel(const config::Endpoint& endpoint);
  using Place = std::optional<balance::Breaker::Held>;
  io::Task<Result<OpenedUpstream>> open_http1(Group& group, const config::Cluster& cluster,
                                              const config::Endpoint& endpoint,
                                              balance::Breaker& breaker);
  io::Task<Result<OpenedUpstream>> open_http2(Group& group, const config::Cluster& cluster,
                                              const config::Endpoint& endpoint,
                                              balance::Breaker& breaker);
  std::shared_ptr<Http1Entry> take_idle(Group& group);
  Result<std::optional<OpenedUpstream>> share(Group& group);
  OpenedUpstream begin(Group& group, std::shared_ptr<Http2Entry> entry,
                       std::unique_ptr<wire::ClientStream> stream);
  bool is_worn(const Group& group, io::TimePoint born, std::uint64_t requests) const;
  OpenedUpstream begin(Group& group, std::shared_ptr<Http1Entry> entry);
  void give_back(Group& group, std::shared_ptr<Http1Entry> entry);
  void retire(std::shared_ptr<Http1Entry> entry);
  io::Task<void> part_from(std::shared_ptr<Http1Entry> entry);
  io::Task<void> give_up();
  io::Task<void> run_session(Group& group, std::shared_ptr<Http2Entry> entry);

  io::Ring& ring_;
  hbone::TunnelPool& tunnels_;
  Identity identity_;
  std::string own_uid_;
  UpstreamOptions options_;
  Outside outside_;
  std::optional<std::vector<config::StringMatch>> accepted_;  // none: not told
  std::map<std::string, std::unique_ptr<Group>, std::less<>> groups_;
  std::string key_;  // scratch
  io::TaskScope scope_;
  bool closed_ = false;
  Counts counts_;
};

}  // namespace mesh::waypoint
