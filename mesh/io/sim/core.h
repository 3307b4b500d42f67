#pragma once
// The simulated world's data: events, hosts, links, sockets. Internal to mesh/io/sim.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mesh/io/backend.h"
#include "mesh/io/sim.h"
#include "mesh/io/sim/random.h"

namespace mesh::io::sim {

using Action = std::move_only_function<void()>;

// What happened, for the hash of a run.
enum class Happening : std::uint64_t { kEvent, kTurn, kCompletion, kSegment, kDatagram, kConnect };

struct LinkState {
  Link link;
  TimePoint free_at{};  // the sender's interface has sent what it was given
  bool cut = false;
  std::vector<Action> held;  // while cut
};

// What becomes of a lost packet: it comes late, or never.
enum class Loss : bool { kRepaired, kFinal };

struct SimSocket;
struct RingState;

struct Host::State {
  State(World::Core& world, std::uint64_t number, std::string named);

  World::Core& core;
  std::uint64_t id;
  std::string name;
  net::NetworkNamespace netns;
  std::vector<net::IpAddress> addresses;
  Capture capture;
  std::vector<SimSocket*> bound;  // listeners and datagram sockets, in the order of binding
  std::uint16_t next_port = 32768;
  Host face{*this};
};

struct World::Core : std::enable_shared_from_this<World::Core> {
  explicit Core(const Options& given);
  ~Core();

  // The world that this thread's next Ring belongs to; made when there is none.
  static std::shared_ptr<Core> current_or_plain();
  static void set_current(const std::shared_ptr<Core>& core) noexcept;

  // Events at the same instant happen in an order drawn from the seed.
  void at(TimePoint when, Action action);
  void after(Duration delay, Action action) { at(now + delay, std::move(action)); }
  bool step();  // false: nothing to do
  std::optional<TimePoint> next_event() const noexcept;
  void note(Happening what, std::uint64_t a = 0, std::uint64_t b = 0) noexcept;

  Host::State& add_host(std::string name, std::span<const net::IpAddress> addresses);
  Host::State* host_of(const net::IpAddress& ip) const noexcept;
  Host::State* host_of(const net::NetworkNamespace& netns) const noexcept;
  LinkState& link(const Host::State& from, const Host::State& to);
  // Carries a packet of `size` bytes.
  void carry(const Host::State& from, const Host::State& to, std::size_t size, Loss loss,
             Action arrived);
  void heal(Host::State& from, Host::State& to);
  // See Host::kill().
  void kill(Host::State& host);

  SimSocket* socket(int handle) const noexcept;
  SimSocket& add_socket(std::unique_ptr<SimSocket> socket);
  void remove_socket(int handle) noexcept;
  bool descriptors_left() const noexcept;
  std::size_t socket_count() const noexcept { return sockets_.size(); }
  std::vector<std::string> congestion_controls() const;
  std::size_t rings_alive() const noexcept { return rings.size(); }

  Options options;
  TimePoint now = TimePoint(std::chrono::hours(1));
  WallTime epoch = WallTime(std::chrono::seconds(1'750'000'000));
  Random random;
  std::uint64_t hash = 0xcbf29ce484222325;
  std::uint64_t events = 0;
  std::uint64_t ring_count = 0;
  std::vector<RingState*> rings;  // in the order of their making; no dead ones
  std::uint64_t operation_count = 0;
  Host::State* current_host = nullptr;  // of the ring that is having its turn
  std::vector<std::unique_ptr<Host::State>> hosts;
  Tap tap;

 private:
  struct Event {
    TimePoint when;
    std::uint64_t tie;
    std::uint64_t number;
    Action action;
  };
  static bool later(const Event& a, const Event& b) noexcept;

  std::vector<Event> heap_;
  std::uint64_t event_number_ = 0;
  Link default_link_;
  std::map<std::pair<std::uint64_t, std::uint64_t>, LinkState> links_;
  std::map<int, std::unique_ptr<SimSocket>> sockets_;
  int next_handle_ = 1000;
  friend class World;
};

}  // namespace mesh::io::sim
