#pragma once
// Outside: connections to endpoints outside the mesh: plain TCP, or TLS as their cluster says, at
// an address or by a name; and TLS inside of tunnels. What was to be TLS is never asked without.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mesh/grpc/resolver.h"
#include "mesh/identity/certificate.h"
#include "mesh/io/event.h"
#include "waypoint/config/cluster.h"
#include "waypoint/wire/stream.h"
#include "waypoint/wire/wire.h"

namespace mesh::waypoint {

// Threads: those of its ring. Limits: kNamesMax names are remembered, each as long as its cluster's
// DNS refresh, or its records, say, and while the servers do not answer (kStaleMost when they say
// that it is gone); kContextsMax TLS settings, whose files (1 MiB each) are read again every
// kFilesEvery.
class Outside {
 public:
  static constexpr std::size_t kNamesMax = 1024;
  static constexpr std::size_t kContextsMax = 1024;
  static constexpr io::Duration kStaleMost = std::chrono::minutes(5);
  static constexpr io::Duration kRefreshMin = std::chrono::seconds(1);
  static constexpr io::Duration kFilesEvery = std::chrono::minutes(1);
  using Identity = std::function<std::shared_ptr<const identity::Certificate>()>;

  Outside(io::Ring& ring, Identity identity, grpc::ResolverOptions names = {})
      : ring_(ring), identity_(std::move(identity)), options_(std::move(names)) {}

  // `version`: what will be spoken, offered by ALPN; none: as the cluster says. Addresses of a name
  // are tried one after the other, each time from the next one on. Errors: kUnreachable (nobody
  // knows the name), kTimedOut, kRefused, kNoIdentity, kTlsHandshake, kUntrusted, kWrongIdentity
  // (a certificate of another name) and the like, kSystem (a file), kCancelled.
  io::Task<Result<std::unique_ptr<wire::Wire>>> dial(const config::Cluster& cluster,
                                                     const config::Endpoint& endpoint,
                                                     std::optional<wire::Version> version);
  // TLS inside of a tunnel, where the cluster asks for it; else `tunnel` as it is.
  io::Task<Result<std::unique_ptr<wire::Wire>>> secure(const config::Cluster& cluster,
                                                       const config::Endpoint& endpoint,
                                                       std::optional<wire::Version> version,
                                                       std::unique_ptr<wire::Wire> tunnel);

 private:
  struct Name {
    explicit Name(io::Ring& ring) : done(ring) {}
    std::vector<net::IpAddress> addresses;
    io::TimePoint asked_at{}, known_at{};
    std::optional<io::Duration> ttl{};
    bool gone = false;  // the servers say that there is no such name
    std::size_t next = 0;
    bool asking = false;
    io::Event done;  // pulses
  };
  struct Context {
    std::shared_ptr<const tls::Context> context;
    io::TimePoint made_at{};
  };

  io::Task<Result<std::vector<net::IpAddress>>> addresses_of(const config::Cluster& cluster,
                                                             std::string host);
  io::Task<Result<Done>> ask(Name& name, std::string host);
  io::Task<Result<std::unique_ptr<wire::Wire>>> connect(
      const config::Cluster& cluster, net::SocketAddress to, io::Duration within,
      const std::shared_ptr<const tls::Context>& context);
  // Null: no TLS is asked for.
  Result<std::shared_ptr<const tls::Context>> context_for(const config::Cluster& cluster,
                                                          const config::Endpoint& endpoint,
                                                          std::optional<wire::Version> version);
  Result<std::shared_ptr<const tls::Context>> context_of(const config::UpstreamTls& tls,
                                                         const std::string& name,
                                                         const std::vector<std::string>& alpn);
  Result<std::shared_ptr<const tls::Context>> make_context(const config::UpstreamTls& tls,
                                                           const std::string& name,
                                                           const std::vector<std::string>& alpn);

  io::Ring& ring_;
  Identity identity_;
  grpc::ResolverOptions options_;
  std::map<std::string, std::shared_ptr<Name>, std::less<>> names_;
  std::map<std::string, Context, std::less<>> contexts_;
};

// The name that a server must prove: the SNI, which must be among the names that are asked for, if
// any are. Errors: kWrongIdentity (names that cannot be this server's), kUntrusted (nobody
// vouches).
Result<std::string> name_to_verify(const config::UpstreamTls& tls, const config::Endpoint& endpoint,
                                   const config::Cluster& cluster);

}  // namespace mesh::waypoint
