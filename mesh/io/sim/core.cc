#include "mesh/io/sim/core.h"

#include <algorithm>
#include <set>

#include "mesh/io/sim/ring_state.h"
#include "mesh/io/sim/socket.h"

namespace mesh::io::sim {
namespace {

constexpr Duration kLoopbackDelay = std::chrono::microseconds(5);
constexpr Duration kRetransmission = std::chrono::milliseconds(200);

thread_local std::weak_ptr<World::Core> current_core;

}  // namespace

Host::State::State(World::Core& world, std::uint64_t number, std::string named)
    : core(world),
      id(number),
      name(std::move(named)),
      netns(net::NetworkNamespace::simulated(number)) {}

World::Core::Core(const Options& given) : options(given), random(given.seed) {
  note(Happening::kEvent, given.seed);
}
World::Core::~Core() = default;

std::shared_ptr<World::Core> World::Core::current_or_plain() {
  if (auto core = current_core.lock()) return core;
  auto core = std::make_shared<Core>(Options{});
  core->add_host("localhost", {});
  current_core = core;
  return core;
}

void World::Core::set_current(const std::shared_ptr<Core>& core) noexcept { current_core = core; }

bool World::Core::later(const Event& a, const Event& b) noexcept {
  if (a.when != b.when) return a.when > b.when;
  if (a.tie != b.tie) return a.tie > b.tie;
  return a.number > b.number;
}

void World::Core::at(TimePoint when, Action action) {
  heap_.push_back({std::max(when, now), random.next(), event_number_++, std::move(action)});
  std::ranges::push_heap(heap_, later);
}

bool World::Core::step() {
  if (heap_.empty()) return false;
  std::ranges::pop_heap(heap_, later);
  Event event = std::move(heap_.back());
  heap_.pop_back();
  now = event.when;
  ++events;
  note(Happening::kEvent, static_cast<std::uint64_t>(now.time_since_epoch().count()), event.number);
  event.action();
  return true;
}

std::optional<TimePoint> World::Core::next_event() const noexcept {
  if (heap_.empty()) return std::nullopt;
  return heap_.front().when;
}

// FNV-1a over words: it tells runs apart, it does not resist anybody.
void World::Core::note(Happening what, std::uint64_t a, std::uint64_t b) noexcept {
  for (const std::uint64_t word : {static_cast<std::uint64_t>(what), a, b}) {
    hash = (hash ^ word) * 0x100000001b3;
    hash ^= hash >> 29;
  }
}

Host::State& World::Core::add_host(std::string name, std::span<const net::IpAddress> addresses) {
  hosts.push_back(std::make_unique<Host::State>(*this, hosts.size() + 1, std::move(name)));
  hosts.back()->addresses.assign(addresses.begin(), addresses.end());
  return *hosts.back();
}

Host::State* World::Core::host_of(const net::IpAddress& ip) const noexcept {
  for (const auto& host : hosts) {
    if (std::ranges::find(host->addresses, ip) != host->addresses.end()) return host.get();
  }
  return nullptr;
}

Host::State* World::Core::host_of(const net::NetworkNamespace& netns) const noexcept {
  for (const auto& host : hosts) {
    if (host->id == netns.inode()) return host.get();
  }
  return nullptr;
}

LinkState& World::Core::link(const Host::State& from, const Host::State& to) {
  const auto [entry, added] = links_.try_emplace({from.id, to.id});
  if (added) entry->second.link = default_link_;
  return entry->second;
}

void World::Core::carry(const Host::State& from, const Host::State& to, std::size_t size, Loss loss,
                        Action arrived) {
  if (&from == &to) return after(kLoopbackDelay, std::move(arrived));
  LinkState& path = link(from, to);
  if (path.cut) {
    if (loss == Loss::kRepaired) path.held.push_back(std::move(arrived));
    return;
  }
  const auto wire_time =
      Duration(static_cast<std::int64_t>(size * 1'000'000'000 / path.link.bytes_per_second));
  path.free_at = std::max(path.free_at, now) + wire_time;
  TimePoint when = path.free_at + path.link.delay;
  when += Duration(static_cast<std::int64_t>(
      random.below(static_cast<std::uint64_t>(path.link.jitter.count()))));
  if (loss == Loss::kRepaired && random.chance(options.faults.segment_lost)) {
    when += kRetransmission;
  }
  if (loss == Loss::kFinal && random.chance(options.faults.datagram_lost)) return;
  at(when, std::move(arrived));
}

void World::Core::heal(Host::State& from, Host::State& to) {
  LinkState& path = link(from, to);
  path.cut = false;
  for (Action& action : path.held) after(path.link.delay + kRetransmission, std::move(action));
  path.held.clear();
}

// As the kernel does it for a process that ends: what was read in full ends, the rest is reset.
void World::Core::kill(Host::State& host) {
  std::set<std::uint64_t> doomed;
  for (RingState* ring : std::vector(rings)) {
    if (&ring->host != &host) continue;
    doomed.insert(ring->id);
    ring->die();
  }
  std::vector<int> handles;
  for (const auto& [handle, socket] : sockets_) {
    if (doomed.contains(socket->owner)) handles.push_back(handle);
  }
  for (const int handle : handles) {
    SimSocket& socket = *sockets_.at(handle);
    socket.pending.clear();
    socket.close(internal::CloseHow::kGraceful);
    remove_socket(handle);
  }
}

SimSocket* World::Core::socket(int handle) const noexcept {
  const auto found = sockets_.find(handle);
  return found == sockets_.end() ? nullptr : found->second.get();
}

SimSocket& World::Core::add_socket(std::unique_ptr<SimSocket> socket) {
  socket->handle = next_handle_++;
  SimSocket& added = *socket;
  sockets_.emplace(added.handle, std::move(socket));
  return added;
}

std::vector<std::string> World::Core::congestion_controls() const {
  std::vector<std::string> names;
  for (const auto& [handle, socket] : sockets_) {
    if (socket->congestion_control) names.push_back(*socket->congestion_control);
  }
  return names;
}

void World::Core::remove_socket(int handle) noexcept { sockets_.erase(handle); }

bool World::Core::descriptors_left() const noexcept {
  return sockets_.size() < options.descriptors_max;
}

}  // namespace mesh::io::sim
