#pragma once
// Pod: one pod on one lane: its listeners in its network namespace, its identity, its connections.
//
// The identity is that of the agent's event. Whose policies apply is found by the event's
// namespace, name and service account, never by an address.

#include <memory>
#include <optional>
#include <string>

#include "mesh/hbone/tunnel_server.h"
#include "mesh/io/event.h"
#include "mesh/io/socket.h"
#include "mesh/io/task_scope.h"
#include "mesh/policy/authorize.h"
#include "ztunnel/callers.h"
#include "ztunnel/lane.h"
#include "ztunnel/live_connections.h"

namespace mesh::ztunnel {

class DnsProxy;

class Pod final : public hbone::ConnectHandler {
 public:
  Pod(Lane& lane, PodSpec spec);
  ~Pod() override;

  // Opens every listener, or none. `failed_at` becomes "[::]:15001".
  Result<Done> listen(std::string& failed_at);
  // Serves until stop(), then drains: joined when it returns.
  io::Task<void> run();
  void stop(io::Duration grace);

  // A new snapshot: finds its own workload anew, ends what is no longer allowed.
  void on_directory();

  const PodSpec& spec() const { return spec_; }
  const LiveConnections& live() const { return live_; }

  // Its own workload, waited for until the deadline. Errors: kNotReady, kCancelled.
  io::Task<Result<workload::WorkloadPtr>> wait_workload();

  // HBONE inbound: one CONNECT (inbound.cc).
  io::Task<void> on_connect(hbone::IncomingConnect connect) override;
  void on_refused(const hbone::RefusedRequest& request) override;

 private:
  friend class Outbound;
  friend class InboundConnection;
  friend class HboneInbound;

  workload::WorkloadPtr workload_for_labels() const;

  io::Task<void> accept_outbound();
  io::Task<void> accept_plaintext();
  io::Task<void> accept_hbone();
  // The next connection of a listener; none when it was closed.
  io::Task<std::optional<io::Socket>> next(io::Listener& listener);

  io::Task<void> serve_outbound(io::Socket application);  // outbound.cc
  io::Task<void> serve_plaintext(io::Socket client);      // inbound_plaintext.cc
  io::Task<void> serve_hbone(io::Socket tunnel);          // inbound.cc
  io::Task<void> serve_connect(std::unique_ptr<hbone::IncomingConnect> connect);

  void decide_again(LiveConnection& one) const;
  // Done when nothing is being served.
  io::Task<Result<Done>> wait_served();

  Lane& lane_;
  const PodSpec spec_;
  workload::WorkloadPtr workload_;       // of the current snapshot; null: not told of (any more)
  workload::WorkloadPtr last_workload_;  // the last that was told of
  std::optional<io::Listener> outbound_, plaintext_, hbone_;
  std::unique_ptr<DnsProxy> dns_;
  hbone::TunnelServer server_;
  LiveConnections live_;
  Callers callers_;
  io::Event stop_;
  io::Event served_;  // pulses when something served has ended
  io::Duration grace_{};
  io::TaskScope accepting_;
  io::TaskScope serving_;
};

// Connects to the application behind a pod. Only who holds a Permit can.
struct ApplicationAddress {
  net::SocketAddress to;
  std::optional<net::IpAddress> from;  // the client's own address, kept
  const net::NetworkNamespace* netns = nullptr;
};
io::Task<Result<io::Socket>> connect_to_application(io::Ring& ring, policy::Permit permit,
                                                    ApplicationAddress address);

}  // namespace mesh::ztunnel
