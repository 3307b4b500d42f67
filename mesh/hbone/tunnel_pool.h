#pragma once
// TunnelPool: the connecting side of HBONE. Opens CONNECT streams, on tunnels that are shared by
// the connections of one source pod to one destination workload, and by nobody else.
//
// One pool per worker ring. A key has at most one handshake under way; those who ask meanwhile wait
// for it and are served in order, so a burst of connections makes no herd of handshakes.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mesh/base/result.h"
#include "mesh/h2/connection.h"
#include "mesh/hbone/congestion.h"
#include "mesh/hbone/stream.h"
#include "mesh/io/ring.h"
#include "mesh/io/socket.h"
#include "mesh/io/task.h"
#include "mesh/net/address.h"
#include "mesh/net/netns.h"
#include "mesh/net/spiffe_id.h"
#include "mesh/tls/context.h"

namespace mesh::hbone {

// Everything in it must be equal for two connections to share a tunnel. The uids keep two pods of
// one service account apart, and an address that passes to another workload.
struct TunnelKey {
  std::string source_uid;  // of the pod that connects
  net::SpiffeId source;
  std::string destination_uid;  // of the workload dialled (a waypoint's own, when through one)
  std::vector<net::SpiffeId> accepted;  // identities the peer may have; never empty but with
  bool any_of_own_domain = false;       // every identity of the source's trust domain
  net::SocketAddress address;           // ip:15008

  friend auto operator<=>(const TunnelKey&, const TunnelKey&) = default;
};

struct OpenRequest {
  TunnelKey key;
  std::shared_ptr<const tls::Context>
      context;  // of key.source; the newest one: used for new tunnels
  const net::NetworkNamespace* netns = nullptr;  // the source pod's; outlives the call
  std::optional<std::uint32_t> mark{};
  std::string authority;
  h2::Headers headers;  // after the pseudo-headers: baggage, forwarded, traceparent, in that order
  // More of them, made when there is a tunnel: many may wait for one, and hold as little as they
  // can.
  std::function<h2::Headers()> more_headers{};
};

// The peer's answer: a stream if it was 200, else none.
struct OpenOutcome {
  int status = 0;
  std::optional<Stream> stream;
  h2::Headers headers;               // of the response; may hold the destination's baggage
  net::SpiffeId peer;                // whom the tunnel leads to
  net::SocketAddress local_address;  // our end of the tunnel
};

struct PoolOptions {
  io::Duration connect_deadline = std::chrono::seconds(10);    // TCP
  io::Duration handshake_deadline = std::chrono::seconds(10);  // TLS
  // From CONNECT to its status; longer than the far side gives its application, whose 503 says more
  // than a deadline of ours.
  io::Duration response_deadline = std::chrono::seconds(12);
  io::Duration idle_release = std::chrono::minutes(5);  // counted from the last stream's end
  // A tunnel that was silent this long is asked by PING before it is used again, and dropped when
  // no answer comes within probe_deadline.
  io::Duration probe_after = std::chrono::seconds(2);
  io::Duration probe_deadline = std::chrono::seconds(2);
  std::size_t streams_per_tunnel = 100;
  std::size_t tunnels_max = 4096;  // of the pool
  std::size_t waiters_per_key_max = 16384;
  h2::Options h2 = h2::Options::for_client();
  CongestionOptions congestion{};
};

// Threads: those of its ring.
class TunnelPool {
 public:
  TunnelPool(io::Ring& ring, PoolOptions options);
  // After close() was awaited.
  ~TunnelPool();
  TunnelPool(const TunnelPool&) = delete;
  TunnelPool& operator=(const TunnelPool&) = delete;

  // Errors: those of connect (kRefused, kUnreachable, kTimedOut), of the handshake (tls::Session),
  // kPeerReset (RST_STREAM before the answer), kTimedOut (no answer), kExhausted (a limit above),
  // kDraining, kCancelled. When the last one waiting for a tunnel gives up, its handshake is given
  // up. A tunnel that turns out dead before our request was processed is replaced once, unnoticed.
  io::Task<Result<OpenOutcome>> open(const OpenRequest& request);

  // No new stream uses a tunnel to (or from) that pod; those without streams close now. For
  // addresses and uids that pass to another workload, and certificates that are gone.
  void purge_destination(const std::string& destination_uid);
  void purge_source(const std::string& source_uid);
  // Ends those tunnels and their streams at once (kDraining): the source pod is gone.
  void end_source(const std::string& source_uid);

  // Drains all tunnels and joins them: streams get `grace` to end.
  io::Task<void> close(io::Duration grace);

  struct Counts {
    std::size_t tunnels = 0;
    std::size_t streams = 0;
    std::uint64_t dialled = 0;
    std::uint64_t reused = 0;  // streams opened on a tunnel that stood already
    std::uint64_t dead = 0;    // tunnels dropped for an unanswered PING
  };
  Counts counts() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::hbone
