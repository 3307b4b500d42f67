#pragma once
// What the two kinds of inbound connection share: the question to the policies, the way to the
// application, and the report.

#include <memory>
#include <optional>
#include <string>

#include "mesh/hbone/tunnel_server.h"
#include "ztunnel/pod.h"

namespace mesh::ztunnel {

class InboundConnection : public LiveConnection {
 public:
  InboundConnection(Pod& pod, const net::SocketAddress& from, const net::SocketAddress& to);

 protected:
  // What to ask the policies, now and with every later snapshot.
  void set_question(std::shared_ptr<const policy::Caller> caller, const net::IpAddress& source_ip,
                    const net::SocketAddress& target);
  // Asks the policies of now. Errors: kDenied, kPolicyUnusable, kExhausted.
  Result<policy::Permit> authorize(const workload::Workload& own);
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
  HboneInbound(Pod& pod, const hbone::ConnectRequest& request)
      : InboundConnection(pod, request.peer_address, request.local_address) {
    hbone = true;
  }
  io::Task<void> run(std::unique_ptr<hbone::IncomingConnect> connect);

 private:
  // The two ends that the relay joins.
  struct Ends {
    hbone::Stream stream;
    io::Socket application;
  };
  // Up to the 200. Frames of the phases are kept apart (noinline), so that an idle connection holds
  // only that of the relay.
  [[clang::noinline]] io::Task<Result<Ends>> establish(hbone::IncomingConnect& connect);
  io::Task<Result<io::Socket>> reach(const hbone::ConnectRequest& request);
  [[clang::noinline]] io::Task<Result<Done>> carry(Ends ends);
  Result<net::SocketAddress> find_target(const hbone::ConnectRequest& request,
                                         const workload::Workload& own);
  static int status_of(Reason reason);
};

bool concerns_the_tunnel(const hbone::Served& served);

}  // namespace mesh::ztunnel
