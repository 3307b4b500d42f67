#pragma once
// DnsProxy: answers the DNS questions of one pod on one lane, over UDP and TCP, and forwards what
// is not the mesh's from the pod's own namespace.
//
// Questions arrive because eBPF steers the pod's traffic to port 53 here; an answer leaves from the
// address that was asked.

#include <optional>
#include <string>
#include <vector>

#include "mesh/io/socket.h"
#include "mesh/io/task_scope.h"
#include "ztunnel/dns.h"
#include "ztunnel/lane.h"

namespace mesh::ztunnel {

inline constexpr std::chrono::seconds kDnsUpstreamPatience{2};  // in all; then SERVFAIL
inline constexpr std::chrono::seconds kDnsTcpIdle{5};
// Under way at once, and waiting for the first snapshot; beyond: SERVFAIL.
inline constexpr std::size_t kDnsForwardsMax = 256;
inline constexpr std::size_t kDnsTcpMax = 64;  // connections at once; beyond: reset

class DnsProxy {
 public:
  DnsProxy(Lane& lane, const PodSpec& spec);
  ~DnsProxy();

  Result<Done> listen(std::string& failed_at);
  // Until cancelled; then nothing is left.
  io::Task<void> run();

 private:
  enum class Protocol : bool { kUdp, kTcp };

  io::Task<void> serve_udp();
  io::Task<void> answer_udp(std::string message, io::DatagramSocket::Datagram from);
  io::Task<void> accept_tcp(io::TaskScope& connections);
  io::Task<void> serve_tcp(io::Socket socket);
  io::Task<Result<Done>> converse(io::Socket& socket);

  // The response to a message, empty for none.
  io::Task<std::string> respond(std::string message, Protocol protocol);
  io::Task<std::string> forward(DnsQuery query, std::string message, Protocol protocol);
  io::Task<Result<std::string>> ask_udp(net::SocketAddress server, const DnsQuery& query,
                                        std::string message);
  io::Task<Result<std::string>> ask_tcp(net::SocketAddress server, const DnsQuery& query,
                                        std::string message);
  std::string labels(const DnsQuery& query, Protocol protocol) const;

  Lane& lane_;
  const PodSpec& spec_;
  std::optional<io::DatagramSocket> udp_;
  std::optional<io::Listener> tcp_;
  std::size_t forwards_ = 0;
  std::size_t waiting_ = 0;  // for the first snapshot
  std::size_t connections_ = 0;
  io::TaskScope* scope_ = nullptr;
};

}  // namespace mesh::ztunnel
