// Which host and socket a connection or datagram reaches, and the handshake.

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "mesh/io/sim/ring_state.h"
#include "mesh/io/sim/socket.h"

namespace mesh::io::sim {

using internal::CloseHow;
using internal::SocketType;

namespace {

constexpr std::size_t kHandshakeBytes = 74;
constexpr std::size_t kDatagramHeader = 42;
constexpr std::size_t kDatagramQueue = 256;
constexpr Duration kSynAgain = std::chrono::seconds(1);
constexpr Duration kNoNeighbour = std::chrono::seconds(3);  // as long as ARP tries

constexpr std::uint16_t kDnsPort = 53;

bool has_address(const Host::State& host, const net::IpAddress& ip) {
  return ip.is_loopback() || std::ranges::find(host.addresses, ip) != host.addresses.end();
}

// The handshake of one connect; lives until it is over.
struct Handshake {
  World::Core& core;
  int client;  // the handle: the socket may be gone
  internal::Operation* operation;
  std::shared_ptr<Connection> connection;
  net::SocketAddress to;

  // The operation, if it still waits for this.
  Pending* waiting() const noexcept {
    SimSocket* socket = core.socket(client);
    if (socket == nullptr || socket->connection != connection) return nullptr;
    const auto found = std::ranges::find(socket->pending, operation, &Pending::operation);
    return found == socket->pending.end() ? nullptr : &*found;
  }
  void end(int result) const {
    Pending* pending = waiting();
    if (pending == nullptr) return;
    SimSocket& socket = *core.socket(client);
    if (result < 0) socket.connection.reset();
    pending->ring->complete(operation, result);
    std::erase_if(socket.pending, [&](const Pending& p) { return p.operation == operation; });
  }
};

void syn_arrives(const std::shared_ptr<Handshake>& handshake);

void send_syn(const std::shared_ptr<Handshake>& handshake) {
  Connection& connection = *handshake->connection;
  handshake->core.carry(*connection.half(0).host, *connection.half(1).host, kHandshakeBytes,
                        Loss::kRepaired, [handshake] { syn_arrives(handshake); });
}

void ack_arrives(const std::shared_ptr<Handshake>& handshake) {
  Connection& connection = *handshake->connection;
  SimSocket* listener = find_bound(*connection.half(1).host, SocketType::kListener, handshake->to,
                                   handshake->core.random);
  if (listener == nullptr) return connection.reset(1);
  listener->backlog.push_back(handshake->connection);
  listener->advance();
}

void syn_ack_arrives(const std::shared_ptr<Handshake>& handshake) {
  Connection& connection = *handshake->connection;
  if (handshake->waiting() == nullptr) return;  // cancelled, or closed: the server never hears
  handshake->end(0);
  handshake->core.carry(*connection.half(0).host, *connection.half(1).host, kHandshakeBytes,
                        Loss::kRepaired, [handshake] { ack_arrives(handshake); });
}

void syn_arrives(const std::shared_ptr<Handshake>& handshake) {
  World::Core& core = handshake->core;
  Connection& connection = *handshake->connection;
  SimSocket* listener =
      find_bound(*connection.half(1).host, SocketType::kListener, handshake->to, core.random);
  if (listener != nullptr && listener->backlog.size() >= listener->backlog_max) {
    return core.after(kSynAgain, [handshake] {
      if (handshake->waiting() != nullptr) send_syn(handshake);
    });
  }
  core.carry(*connection.half(1).host, *connection.half(0).host, kHandshakeBytes, Loss::kRepaired,
             [handshake, refused = listener == nullptr] {
               refused ? handshake->end(-ECONNREFUSED) : syn_ack_arrives(handshake);
             });
}

}  // namespace

Destination destination_of(const SimSocket& from, const net::SocketAddress& to) noexcept {
  Host::State* host =
      to.ip.is_loopback() || has_address(from.host, to.ip) ? &from.host : from.core.host_of(to.ip);
  const Host::Capture& leaving = from.host.capture;
  if (!from.exempt && !to.ip.is_loopback()) {
    const bool datagram = from.type == SocketType::kDatagram;
    std::uint16_t port = datagram || host == &from.host ? std::uint16_t{0} : leaving.outbound;
    if (to.port == kDnsPort && leaving.dns != 0) port = leaving.dns;
    if (port != 0) return {&from.host, {to.ip, port}, to};
  }
  if (host == nullptr) return {};
  if (host != &from.host && from.host.addresses.empty()) return {};  // no interface, no way out
  const Host::Capture& arriving = host->capture;
  const bool enters = host != &from.host && from.type == SocketType::kStream;
  if (enters && arriving.inbound != 0 && to.port != arriving.inbound_except) {
    return {host, {to.ip, arriving.inbound}, to};
  }
  return {host, to, to};
}

SimSocket* find_bound(Host::State& host, SocketType type, const net::SocketAddress& to,
                      Random& random) noexcept {
  std::vector<SimSocket*> exact;
  std::vector<SimSocket*> wildcard;
  for (SimSocket* socket : host.bound) {
    if (socket->type != type || socket->local.port != to.port) continue;
    if (socket->local.ip == to.ip) exact.push_back(socket);
    if (!socket->local.ip.is_unspecified()) continue;
    if (socket->local.ip.is_v4() && to.ip.is_v6()) continue;
    if (socket->transparent || has_address(host, to.ip)) wildcard.push_back(socket);
  }
  const auto& candidates = exact.empty() ? wildcard : exact;
  if (candidates.empty()) return nullptr;
  return candidates[random.below(candidates.size())];  // SO_REUSEPORT spreads
}

Result<Done> SimSocket::bind(const internal::SocketSpec& spec) {
  if (!spec.bind_source) return Done{};
  const bool ours = spec.bind.ip.is_unspecified() || has_address(host, spec.bind.ip);
  if (!ours && !spec.transparent) return failed_with_errno(EADDRNOTAVAIL, "bind");
  local = spec.bind;
  if (type == SocketType::kStream) return Done{};
  reuse_port = spec.reuse_port;
  backlog_max = static_cast<std::size_t>(std::max(spec.backlog, 1));
  if (local.port == 0) local.port = host.next_port++ | 0x8000;
  for (const SimSocket* other : host.bound) {
    const bool same = other->type == type && other->local == local;
    if (same && !(reuse_port && other->reuse_port)) return failed_with_errno(EADDRINUSE, "bind");
  }
  host.bound.push_back(this);
  return Done{};
}

void SimSocket::connect(const Pending& operation) {
  sockaddr_storage storage{};
  std::memcpy(&storage, operation.submission.memory, operation.submission.length);
  const net::SocketAddress to = *net::SocketAddress::from_sockaddr(storage);
  const Destination destination = destination_of(*this, to);
  connection = std::make_shared<Connection>(core);
  auto handshake = std::make_shared<Handshake>(
      Handshake{core, handle, operation.operation, connection, destination.to});
  core.note(Happening::kConnect, static_cast<std::uint64_t>(handle), to.port);
  if (destination.host == nullptr) {
    return core.after(kNoNeighbour, [handshake] { handshake->end(-EHOSTUNREACH); });
  }
  if (local.ip.is_unspecified()) {
    const bool here = destination.host == &host && to.ip.is_loopback();
    const auto same = std::ranges::find(host.addresses, to.ip.is_v6(), &net::IpAddress::is_v6);
    const net::IpAddress loopback = *net::IpAddress::parse(to.ip.is_v6() ? "::1" : "127.0.0.1");
    local.ip = here || same == host.addresses.end() ? loopback : *same;
  }
  if (local.port == 0) local.port = host.next_port++ | 0x8000;
  Half& own = connection->half(0);
  Half& far = connection->half(1);
  own.socket = this;
  own.host = &host;
  own.local = local;
  own.peer = to;
  far.host = destination.host;
  far.local = destination.dialled;
  far.peer = local;
  side = 0;
  send_syn(handshake);
}

void SimSocket::close(CloseHow how) {
  MESH_CHECK(pending.empty());
  std::erase(host.bound, this);
  for (const auto& waiting : backlog) {
    waiting->half(1).abandoned = true;
    waiting->reset(1);
  }
  backlog.clear();
  if (connection == nullptr) return;
  if (how == CloseHow::kReset || reset_unless_finished) connection->reset(side);
  connection->abandon(side);
}

namespace {

// The port is closed: its host says so to whoever sent the datagram.
void refuse_datagram(World::Core& core, Host::State& by, Host::State& sender,
                     const SimDatagram& datagram) {
  core.carry(by, sender, kDatagramHeader, Loss::kFinal,
             [&core, &sender, to = datagram.peer, refused = datagram.local] {
               SimSocket* socket = find_bound(sender, SocketType::kDatagram, to, core.random);
               if (socket != nullptr) socket->deliver_refusal(refused);
             });
}

}  // namespace

SimSocket::Progress SimSocket::send_to(Pending& operation) {
  const auto& io = *static_cast<const internal::DatagramIo*>(operation.submission.memory);
  const Destination destination = destination_of(*this, io.peer);
  operation.ring->complete(operation.operation, static_cast<int>(io.length));
  if (destination.host == nullptr) return Progress::kEnded;
  SimDatagram datagram{local, destination.dialled, {io.memory, io.memory + io.length}};
  if (io.local) datagram.peer.ip = io.local->ip;
  if (datagram.peer.ip.is_unspecified()) {
    const bool v6 = io.peer.ip.is_v6();
    const auto own = std::ranges::find(host.addresses, v6, &net::IpAddress::is_v6);
    const net::IpAddress loopback = *net::IpAddress::parse(v6 ? "::1" : "127.0.0.1");
    datagram.peer.ip = io.peer.ip.is_loopback() || own == host.addresses.end() ? loopback : *own;
  }
  core.carry(host, *destination.host, io.length + kDatagramHeader, Loss::kFinal,
             [&world = core, &sender = host, to = destination.to, at = destination.host,
              datagram = std::move(datagram)]() mutable {
               SimSocket* socket = find_bound(*at, SocketType::kDatagram, to, world.random);
               if (socket != nullptr) return socket->deliver(std::move(datagram));
               refuse_datagram(world, *at, sender, datagram);
             });
  return Progress::kEnded;
}

void SimSocket::deliver_refusal(const net::SocketAddress& by) {
  if (only_peer != by) return;  // whoever listens to everybody is not told
  told_error = ECONNREFUSED;
  advance();
}

void SimSocket::deliver(SimDatagram datagram) {
  core.note(Happening::kDatagram, datagram.bytes.size(), datagram.peer.port);
  if (only_peer && datagram.peer != *only_peer) return;
  if (datagrams.size() >= kDatagramQueue) return;
  datagrams.push_back(std::move(datagram));
  advance();
}

}  // namespace mesh::io::sim
