#pragma once
// What the two kinds of inbound connection share: the question to the policies, the way to the
// application, and the report.

#include <optional>
#include <string>

#include "mesh/hbone/tunnel_server.h"
#include "ztunnel/pod.h"

namespace mesh::ztunnel {

class InboundConnection : public LiveConnection {
 public:
  InboundConnection(Pod& pod, const net::SocketAddress& from, const net::SocketAddress& to);

 protected:
  // Asks the policies of now; remembers the question, so that later snapshots can ask it again.
  // Errors: kDenied, kPolicyUnusable, kExhausted.
  Result<policy::Permit> authorize(const workload::Workload& own,
                                   std::optional<policy::Caller> caller,
                                   const net::IpAddress& source_ip,
                                   const net::SocketAddress& target);
  // From the client's own address, unless it is the pod itself.
  io::Task<Result<io::Socket>> connect(policy::Permit permit, net::IpAddress client,
                                       net::SocketAddress target);
  void finish(const Error& error, bool reached);

  Pod& pod_;
  Lane& lane_;
  Report report_;
  std::string text_;    // of the error, when there is a better one than its name
  std::string policy_;  // that refused
};

// One CONNECT of a tunnel.
class HboneInbound final : public InboundConnection {
 public:
  HboneInbound(Pod& pod, hbone::IncomingConnect connect)
      : InboundConnection(pod, connect.request().peer_address, connect.request().local_address),
        connect_(std::move(connect)) {
    hbone = true;
  }
  io::Task<void> run();

 private:
  io::Task<Result<io::Socket>> reach();
  Result<net::SocketAddress> find_target(const workload::Workload& own);
  static int status_of(Reason reason);

  hbone::IncomingConnect connect_;
};

bool concerns_the_tunnel(Reason reason);

}  // namespace mesh::ztunnel
