#pragma once
// TunnelServer: the accepting side of HBONE. Runs the TLS handshake and HTTP/2 of each accepted
// connection and hands every CONNECT to the application, which decides.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "mesh/base/result.h"
#include "mesh/h2/connection.h"
#include "mesh/hbone/congestion.h"
#include "mesh/hbone/peer_quotas.h"
#include "mesh/hbone/stream.h"
#include "mesh/io/ring.h"
#include "mesh/io/socket.h"
#include "mesh/io/task.h"
#include "mesh/net/spiffe_id.h"
#include "mesh/tls/context.h"

namespace mesh::hbone {

// Who asks for what. The identity is the one the handshake verified.
struct ConnectRequest {
  net::SpiffeId peer;
  net::SocketAddress peer_address;   // the tunnel's far end: the client's own address
  net::SocketAddress local_address;  // what it dialled
  std::string authority;             // see parse_authority()
  // Labels only, never trusted; as sent, none when absent.
  std::optional<std::string> baggage;
  std::optional<std::string> forwarded;
  std::optional<std::string> traceparent;
  std::optional<std::string> x_forwarded_network;
};

// One CONNECT that awaits its answer. Dropping it unanswered is 503. Move-only.
class IncomingConnect {
 public:
  IncomingConnect(ConnectRequest request, std::shared_ptr<StreamState> state);
  IncomingConnect(IncomingConnect&&) noexcept;
  IncomingConnect& operator=(IncomingConnect&&) noexcept;
  ~IncomingConnect();

  // After accept() without the labels, which an idle connection need not hold.
  const ConnectRequest& request() const { return *request_; }

  // 200 with `headers` after :status (baggage of the destination). Call it only when the connection
  // to the application stands. Errors: kPeerReset when the peer has given up meanwhile.
  Result<Stream> accept(const h2::Headers& headers = {});
  // 401 policy, 400 method, authority or address mismatch, 503 everything else.
  void refuse(int status);
  // Done when the peer gave up waiting. Race it against the connect to the application.
  io::Task<Result<Done>> wait_hang_up();

 private:
  std::unique_ptr<ConnectRequest> request_;  // one place, however often this moves
  std::shared_ptr<StreamState> state_;
};

// A request that was refused here. kMalformed: 400, it is no CONNECT or names no authority;
// kExhausted: 503, its peer has too much open.
struct RefusedRequest {
  Reason reason = Reason::kMalformed;
  const net::SpiffeId& peer;
  net::SocketAddress peer_address, local_address;
  std::string_view method;
};

class ConnectHandler {
 public:
  virtual ~ConnectHandler() = default;
  // Only to be noted.
  virtual void on_refused(const RefusedRequest&) {}
  // Runs as a task of its own until the stream is over; cancelled when the tunnel ends.
  virtual io::Task<void> on_connect(IncomingConnect connect) = 0;
};

struct ServerOptions {
  io::Duration handshake_deadline = std::chrono::seconds(10);
  // From the end of the handshake to the first CONNECT.
  io::Duration first_deadline = std::chrono::minutes(1);
  // From a CONNECT to its answer: a handler that takes longer is cancelled, its peer told 503.
  io::Duration answer_deadline = std::chrono::seconds(30);
  // Between the last stream and the next.
  io::Duration idle_deadline = std::chrono::hours(1);
  h2::Options h2 = h2::Options::for_server();  // its budget: what all peers together may take
  PeerLimits limits{};
  // The sockets are accepted: whoever listens gives them congestion.at_first.
  CongestionOptions congestion{};
};

// How an accepted connection ended.
struct Served {
  bool identified = false;  // the handshake was done, and said who it is
  // Errors: the handshake's (see tls::Session; kPeerClosed, kPeerReset for who left before its
  // end), kTimedOut (handshake, keep-alive), kProtocol, kFlood, kPeerReset, kDraining, kExhausted
  // (PeerLimits).
  Result<Done> end;
};

// Threads: those of its ring. Destroy after every serve() is done.
class TunnelServer {
 public:
  TunnelServer(io::Ring& ring, ServerOptions options, ConnectHandler& handler);
  ~TunnelServer();
  TunnelServer(const TunnelServer&) = delete;
  TunnelServer& operator=(const TunnelServer&) = delete;

  // Serves one accepted connection to its end; every handler it started is joined.
  io::Task<Served> serve(io::Socket socket, std::shared_ptr<const tls::Context> context,
                         PeerQuotas::Handshake handshake);
  // The same of one that waited for nothing since it was accepted.
  io::Task<Served> serve(io::Socket socket, std::shared_ptr<const tls::Context> context);

  // For each accepted connection, before anything else. None: too many are shaking hands already,
  // reset it.
  std::optional<PeerQuotas::Handshake> admit(const io::Socket& socket);

  // Graceful: see h2::Connection::drain(). Connections end as their last stream does.
  void drain();
  // The deadline of the drain: what is left ends by close_notify, its streams with kDraining.
  void end();
  std::size_t connections() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::hbone
