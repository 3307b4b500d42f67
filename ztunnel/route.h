#pragma once
// Where should this connection of a local pod go? Pure: a snapshot, who asks, and a random number
// in; a decision out.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mesh/base/result.h"
#include "mesh/net/address.h"
#include "mesh/net/spiffe_id.h"
#include "mesh/workload/directory.h"
#include "mesh/workload/load_balance.h"

namespace mesh::ztunnel {

inline constexpr std::uint16_t kOutboundPort = 15001;
inline constexpr std::uint16_t kPlaintextPort = 15006;
inline constexpr std::uint16_t kHbonePort = 15008;
inline constexpr std::uint16_t kDnsPort = 15053;
// A port on which this proxy listens inside a pod.
bool is_proxy_port(std::uint16_t port);

enum class UnknownDestinations : std::uint8_t { kPassthrough, kRefuse };

struct RouteRequest {
  net::SocketAddress dialled = {};
  std::string_view network = {};  // this node's
  std::string_view ns = {};       // of the source pod
  std::string_view preferred_ns = {};
  const workload::Workload* source = nullptr;          // when the control plane has told of it
  std::span<const net::IpAddress> own_addresses = {};  // of the source pod, as far as known
  UnknownDestinations unknown = UnknownDestinations::kPassthrough;
  std::uint64_t random = 0;
};

struct Route {
  enum class Way : std::uint8_t {
    kRefuse,       // see reason
    kPassthrough,  // plaintext to `address`
    kTunnel,       // HBONE to `address`, CONNECT to `authority`
  };
  Way way = Way::kRefuse;
  Reason reason = Reason::kNoEndpoint;
  net::SocketAddress address = {};
  std::string authority = {};
  // Who is behind `address`: the endpoint or the waypoint; null for an address off the mesh.
  workload::WorkloadPtr destination = {};
  workload::ServicePtr service = {};         // that was dialled, if any
  std::vector<net::SpiffeId> accepted = {};  // who may answer the tunnel's handshake
  bool through_waypoint = false;
};

// The Directory must be complete(): see design of what waits for what.
//   a proxy's own port on a loopback or own address  -> refused (kLoop)
//   a rejected resource                              -> refused (kRejectedResource)
//   a service with a waypoint                        -> its waypoint, unless the source is that one
//   a service                                        -> a member; none: refused (kNoEndpoint)
//   a workload with a waypoint                       -> its waypoint, unless the source is that one
//   a workload                                       -> itself, tunnel or plaintext as it speaks
//   anything else                                    -> plaintext, or refused (kPassthroughRefused)
// A destination of another network needs a gateway, which is not supported: refused (kUnreachable).
Route route(const workload::Directory& directory, const RouteRequest& request);

// The workload that a waypoint or gateway address leads to, and the port to dial there.
Result<workload::Choice> find_gateway(const workload::Directory& directory,
                                      const workload::GatewayAddress& gateway,
                                      const workload::Place& caller, std::uint64_t random);

}  // namespace mesh::ztunnel
