#include <algorithm>
#include <utility>

#include "mesh/io/ring_impl.h"
#include "mesh/io/sim.h"
#include "mesh/io/sim/core.h"
#include "mesh/io/sim/ring_state.h"
#include "mesh/io/sim/socket.h"

namespace mesh::io::sim {

Faults Faults::swarm(std::uint64_t seed) {
  Random random(seed ^ 0x5eed5eed5eed5eed);
  // A third of the faults are off in any one seed; the others are rare, or not so rare.
  const auto draw = [&random](double most) {
    if (random.below(3) == 0) return 0.0;
    return most * static_cast<double>(random.below(1000)) / 1000.0;
  };
  Faults faults;
  faults.short_receive = draw(0.5);
  faults.no_buffer = draw(0.1);
  faults.multishot_ends = draw(0.3);
  faults.late_cancel = draw(0.5);
  faults.reordered = draw(0.5);
  faults.accept_exhausted = draw(0.1);
  faults.connect_exhausted = draw(0.1);
  faults.slow_turn = draw(0.1);
  faults.segment_lost = draw(0.01);
  faults.datagram_lost = draw(0.1);
  faults.short_read_ahead = random.below(2) == 0;
  return faults;
}

Result<std::unique_ptr<Ring>> Host::make_ring(RingOptions options) {
  World::Core::set_current(state_.core.shared_from_this());
  State* outer = std::exchange(state_.core.current_host, &state_);
  auto ring = Ring::create(options);
  state_.core.current_host = outer;
  return ring;
}

const net::NetworkNamespace& Host::netns() const noexcept { return state_.netns; }
const std::string& Host::name() const noexcept { return state_.name; }
void Host::capture(const Capture& capture) noexcept { state_.capture = capture; }
void Host::kill() { state_.core.kill(state_); }

World::World(Options options) : core_(std::make_shared<Core>(options)) { Core::set_current(core_); }
World::~World() {
  MESH_CHECK(core_->rings_alive() == 0);
  Core::set_current(nullptr);
  // The memory of a dead process may hold on to the Core: let go of what it holds.
  core_->heap_.clear();
  core_->sockets_.clear();
  core_->tap = nullptr;
}

Host& World::add_host(std::string name, std::span<const net::IpAddress> addresses) {
  return core_->add_host(std::move(name), addresses).face;
}
Host& World::add_host(std::string name, std::initializer_list<net::IpAddress> addresses) {
  return add_host(std::move(name), std::span(addresses.begin(), addresses.size()));
}

void World::move_address(const net::IpAddress& address, Host& to) {
  for (const auto& host : core_->hosts) std::erase(host->addresses, address);
  to.state_.addresses.push_back(address);
}

void World::set_link(Host& a, Host& b, const Link& link) {
  core_->link(a.state_, b.state_).link = link;
  core_->link(b.state_, a.state_).link = link;
}

void World::set_default_link(const Link& link) { core_->default_link_ = link; }

void World::partition(Host& a, Host& b) {
  core_->link(a.state_, b.state_).cut = true;
  core_->link(b.state_, a.state_).cut = true;
}

void World::heal(Host& a, Host& b) {
  core_->heal(a.state_, b.state_);
  core_->heal(b.state_, a.state_);
}

// What it makes before its first wait (workers) is made on its own host.
void World::start(Ring& ring, Task<void> main) {
  const auto side = std::ranges::find(core_->rings, &ring.impl(), &RingState::impl);
  MESH_CHECK(side != core_->rings.end());
  Host::State* outer = std::exchange(core_->current_host, &(*side)->host);
  ring.impl().start(std::move(main));
  core_->current_host = outer;
  ring.impl().backend->wake();
}

bool World::run_until_idle(Duration limit) {
  const TimePoint end = core_->now + limit;
  for (;;) {
    const auto next = core_->next_event();
    if (!next) return true;
    if (*next > end) {
      core_->now = end;
      return false;
    }
    core_->step();
  }
}

void World::run_for(Duration duration) {
  const TimePoint end = core_->now + duration;
  run_until_idle(duration);
  core_->now = end;
}

TimePoint World::now() const noexcept { return core_->now; }
std::uint64_t World::seed() const noexcept { return core_->options.seed; }
std::uint64_t World::event_hash() const noexcept { return core_->hash; }
std::uint64_t World::event_count() const noexcept { return core_->events; }
std::size_t World::open_sockets() const noexcept { return core_->socket_count(); }
std::vector<std::string> World::congestion_controls() const { return core_->congestion_controls(); }
void World::set_tap(Tap tap) { core_->tap = std::move(tap); }
void World::set_faults(const Faults& faults) noexcept { core_->options.faults = faults; }
std::uint64_t World::random() noexcept { return core_->random.next(); }
bool World::chance(double probability) noexcept { return core_->random.chance(probability); }

}  // namespace mesh::io::sim
