#pragma once
// A simulated world to run rings in: virtual time, a network, faults; all of it from one seed.
//
// A program that links io_sim_dep instead of io_uring_dep runs the same code on this world, in one
// thread: every Ring and Worker is interleaved with the others by the seed, and a run with the same
// seed is the same run, which event_hash() shows. Without a World of its own the first
// Ring::create() makes a plain one of one host, so ordinary tests run here unchanged.
//
//   sim::World world({.seed = seed, .faults = sim::Faults::swarm(seed)});
//   sim::Host& web = world.add_host("web", {*net::IpAddress::parse("10.0.0.1")});
//   auto ring = *web.make_ring();
//   world.start(*ring, serve(*ring));
//   CHECK(world.run_until_idle(10s));

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mesh/base/result.h"
#include "mesh/io/ring.h"
#include "mesh/net/address.h"
#include "mesh/net/netns.h"

namespace mesh::io::sim {

// What goes wrong, each with the probability given, where io_uring or a network would let it.
struct Faults {
  double short_receive = 0;      // a receive brings less than there is
  double no_buffer = 0;          // ENOBUFS although buffers are left
  double multishot_ends = 0;     // a multishot operation ends with an answer that has no `more`
  double late_cancel = 0;        // a cancellation is looked at when it may be too late
  double reordered = 0;          // completions of different operations change places
  double accept_exhausted = 0;   // EMFILE or ENFILE from accept
  double connect_exhausted = 0;  // EMFILE or ENOBUFS from making a socket
  double slow_turn = 0;          // a ring is not scheduled for up to a millisecond
  double segment_lost = 0;       // loss as TCP shows it: what follows waits for the retransmission
  double datagram_lost = 0;
  bool short_read_ahead = false;  // the kernel has no limit for multishot receives (before 6.17)

  // A mix that differs from seed to seed, of which most are mild; some have none.
  static Faults swarm(std::uint64_t seed);
};

struct Options {
  std::uint64_t seed = 1;
  Faults faults{};
  std::size_t send_buffer = std::size_t{4} << 20;     // tcp_wmem's maximum
  std::size_t receive_buffer = std::size_t{6} << 20;  // tcp_rmem's maximum
  std::size_t segment_bytes = 16384;                  // as large as the offloads make them
  unsigned descriptors_max = 1 << 16;                 // of the whole world
  Duration turn_cost = std::chrono::microseconds(2);  // of one turn of a ring
};

// One direction of a path between two hosts. Both hosts of a pair get the same.
struct Link {
  Duration delay = std::chrono::microseconds(25);  // one way
  Duration jitter = Duration::zero();              // up to this much more; TCP stays in order
  std::uint64_t bytes_per_second = 1'250'000'000;  // 10 Gb/s
};

class World;

// A network namespace with addresses; a pod, or a node. It also has 127.0.0.1 and ::1.
class Host {
 public:
  struct State;

  // A ring whose sockets are of this host unless they are asked for in another.
  Result<std::unique_ptr<Ring>> make_ring(RingOptions options = {});
  const net::NetworkNamespace& netns() const noexcept;
  const std::string& name() const noexcept;

  // Capture, as eBPF does it in a pod. Exempt are sockets that a ring of another host opened in
  // this one: the proxy's. Ports are those of transparent listeners in this host; 0 is none.
  struct Capture {
    std::uint16_t outbound = 0;        // what this host's own rings connect to elsewhere
    std::uint16_t inbound = 0;         // what arrives from other hosts...
    std::uint16_t inbound_except = 0;  // ...unless for this port
    std::uint16_t dns = 0;             // datagrams and connections to port 53
  };
  void capture(const Capture& capture) noexcept;

  // SIGKILL for what runs on this host: its rings, those of workers too, have no turn any more, and
  // the kernel closes their sockets in whatever namespace. The rings and all that waits on them
  // are then a dead process's memory: never use or destroy them. New rings may be made.
  void kill();

 private:
  friend class World;
  explicit Host(State& state) noexcept : state_(state) {}
  State& state_;
};

// `at`: the place of the first byte in its direction of the connection.
using Tap = std::function<void(const Host& from, const Host& to, std::uint64_t at,
                               std::span<const std::byte> bytes)>;

// Threads: all of it on one. Rings that live must be gone before their world.
class World {
 public:
  explicit World(Options options = {});
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  Host& add_host(std::string name, std::span<const net::IpAddress> addresses);
  Host& add_host(std::string name, std::initializer_list<net::IpAddress> addresses);
  // An address moves to another host (a pod is gone and its address reused): connections that
  // exist keep their ends; new ones and datagrams go to the new host. A host that has no address
  // left reaches nobody but itself.
  void move_address(const net::IpAddress& address, Host& to);
  void set_link(Host& a, Host& b, const Link& link);
  void set_default_link(const Link& link);
  // Nothing crosses until heal(); then what was under way arrives, late.
  void partition(Host& a, Host& b);
  void heal(Host& a, Host& b);

  // Starts `main` on `ring` without running the world. Not while an earlier main still runs.
  void start(Ring& ring, Task<void> main);

  // Runs until nothing can happen any more, or for `limit` at most; true in the first case.
  bool run_until_idle(Duration limit);
  void run_for(Duration duration);

  TimePoint now() const noexcept;
  std::uint64_t seed() const noexcept;
  // Of everything that has happened so far, in its order.
  std::uint64_t event_hash() const noexcept;
  std::uint64_t event_count() const noexcept;
  // Of all hosts, listeners and datagram sockets included: for finding leaks.
  std::size_t open_sockets() const noexcept;
  // What they were last told to send by, of those that were told anything; empty is the system's.
  std::vector<std::string> congestion_controls() const;
  // Sees every segment that crosses between hosts, when it is sent: who reads along on the wire.
  void set_tap(Tap tap);
  // What goes wrong from now on: a scenario that has done its worst takes the faults away.
  void set_faults(const Faults& faults) noexcept;

  // For scenarios: drawn from the seed as well.
  std::uint64_t random() noexcept;
  bool chance(double probability) noexcept;

  struct Core;

 private:
  std::shared_ptr<Core> core_;
};

}  // namespace mesh::io::sim
