#pragma once
// A socket of the simulated world, and the operations that wait for it. Internal to mesh/io/sim.

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "mesh/io/sim/core.h"
#include "mesh/io/sim/tcp.h"

namespace mesh::io::sim {

struct RingState;

// An operation that a ring has submitted and that has not ended.
struct Pending {
  internal::Operation* operation;
  internal::Submission submission;
  RingState* ring;
  std::uint64_t token = 0;
  std::size_t done = 0;
};

struct SimDatagram {
  net::SocketAddress peer;
  net::SocketAddress local;
  std::vector<std::byte> bytes;
};

struct SimSocket {
  SimSocket(World::Core& world, Host::State& at, const internal::SocketSpec& spec) noexcept
      : core(world),
        host(at),
        type(spec.type),
        transparent(spec.transparent),
        reset_unless_finished(spec.reset_unless_finished),
        congestion_control(spec.congestion_control.empty()
                               ? std::nullopt
                               : std::optional<std::string>(spec.congestion_control)) {}

  World::Core& core;
  Host::State& host;
  int handle = -1;
  internal::SocketType type;
  bool transparent;
  bool reset_unless_finished;
  bool reuse_port = false;
  std::optional<std::string> congestion_control;  // noted only; none: never asked for
  bool exempt = false;                            // opened by a ring of another host: the proxy
  std::uint64_t owner = 0;                        // the ring's id
  net::SocketAddress local;
  std::vector<Pending> pending;

  // A stream.
  std::shared_ptr<Connection> connection;
  int side = 0;
  // A listener: established connections; their server's half is side 1.
  std::deque<std::shared_ptr<Connection>> backlog;
  std::size_t backlog_max = 0;
  // A datagram socket.
  std::deque<SimDatagram> datagrams;
  std::optional<net::SocketAddress> only_peer;
  int told_error = 0;  // that the peer cannot be reached

  // Before anything else. Errors: as of bind(2).
  Result<Done> bind(const internal::SocketSpec& spec);

  // Starts an operation, and does what it can of it at once.
  void start(const Pending& operation);
  // Looks at every pending operation again.
  void advance();
  // Ends an operation that is still pending; false when it was not.
  bool cancel(std::uint64_t token);
  // Ends all of them.
  void fail_all(int error);

  void close(internal::CloseHow how);
  void connect(const Pending& operation);
  void deliver(SimDatagram datagram);
  void deliver_refusal(const net::SocketAddress& by);

 private:
  enum class Progress : bool { kWaits, kEnded };
  Progress advance_one(Pending& operation);
  Progress advance_accept(Pending& operation);
  Progress advance_receive(Pending& operation);
  Progress advance_receive_buffers(Pending& operation);
  Progress advance_send(Pending& operation);
  Progress advance_poll(Pending& operation);
  Progress advance_receive_from(Pending& operation);
  Progress send_to(Pending& operation);
  Half* half() noexcept { return connection ? &connection->half(side) : nullptr; }
};

// Where a connection or datagram from `from` to `to` arrives, captures considered.
struct Destination {
  Host::State* host = nullptr;  // none: nobody has the address
  net::SocketAddress to;        // the listener to look for
  net::SocketAddress dialled;
};
Destination destination_of(const SimSocket& from, const net::SocketAddress& to) noexcept;
// A listener or datagram socket that receives what comes for `to`.
SimSocket* find_bound(Host::State& host, internal::SocketType type, const net::SocketAddress& to,
                      Random& random) noexcept;

}  // namespace mesh::io::sim
