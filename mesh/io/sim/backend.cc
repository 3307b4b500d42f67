// The seam on the simulated world.

#include "mesh/io/backend.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "mesh/io/ring_impl.h"
#include "mesh/io/sim/ring_state.h"
#include "mesh/io/sim/socket.h"

namespace mesh::io {

namespace sim {

void RingState::die() noexcept {
  std::erase(core->rings, this);
  submissions.clear();
  completions.clear();
  core.reset();
}

void RingState::schedule(TimePoint when) {
  if (dead()) return;
  when = std::max(when, busy_until);
  if (scheduled_at <= when) return;
  scheduled_at = when;
  core->at(when, [weak = weak_from_this(), when] {
    const auto self = weak.lock();
    // Gone, killed, or it had its turn before.
    if (self == nullptr || self->dead() || self->scheduled_at != when) return;
    self->scheduled_at = TimePoint::max();
    self->turn();
  });
}

void RingState::wake() {
  if (dead()) return;
  Duration late = Duration(static_cast<std::int64_t>(core->random.below(1000)));
  if (core->random.chance(core->options.faults.slow_turn)) late *= 1000;
  schedule(core->now + late);
}

void RingState::complete(internal::Operation* operation, int result, bool more, bool pending,
                         std::vector<std::uint16_t> buffers) {
  if (dead()) return;
  completions.push_back({operation,
                         {.result = result, .more = more, .pending = pending, .buffers = {}},
                         std::move(buffers)});
  wake();
}

}  // namespace sim

namespace internal {

using sim::Faults;
using sim::Pending;
using sim::Queued;
using sim::RingState;
using sim::SimSocket;
using sim::Submitted;
using sim::World;

namespace {
constexpr std::uint64_t kLateCancel = 100'000;  // nanoseconds, at most
}

struct Backend::State {
  State(Ring::Impl& owner, std::shared_ptr<RingState> made) noexcept
      : ring(owner), side(std::move(made)) {}

  void turn();
  void deliver(std::vector<Queued> completions);
  void enter();
  void cancel(std::uint64_t token, int handle, std::uint64_t late);

  Ring::Impl& ring;
  std::shared_ptr<RingState> side;
};

Backend::Backend(std::unique_ptr<State> state) : state_(std::move(state)) {}
Backend::~Backend() = default;

Result<std::unique_ptr<Backend>> Backend::create(Ring::Impl& ring, const RingOptions&) {
  std::shared_ptr<World::Core> core = World::Core::current_or_plain();
  if (core->hosts.empty()) core->add_host("localhost", {});
  sim::Host::State* host =
      core->current_host != nullptr ? core->current_host : core->hosts.front().get();
  const std::uint64_t id = ++core->ring_count;
  auto state =
      std::make_unique<State>(ring, std::make_shared<RingState>(std::move(core), *host, id));
  state->side->impl = &ring;
  state->side->turn = [self = state.get()] { self->turn(); };
  return std::unique_ptr<Backend>(new Backend(std::move(state)));
}

void Backend::drive() noexcept {
  RingState& side = *state_->side;
  side.schedule(side.core->now);
  while (!state_->ring.finished()) {
    const bool happened = side.core->step();
    MESH_CHECK(happened);  // nothing can happen any more, but a task of this ring still waits
  }
}

void Backend::State::turn() {
  World::Core& core = *side->core;
  sim::Host::State* outer = std::exchange(core.current_host, &side->host);
  core.note(sim::Happening::kTurn, side->id, side->completions.size());
  ring.now = core.now;
  deliver(std::exchange(side->completions, {}));
  ring.turn();
  enter();
  core.current_host = outer;

  side->busy_until = core.now + core.options.turn_cost;
  if (ring.has_work() || !side->completions.empty()) {
    side->schedule(side->busy_until);
  } else if (!ring.timers.empty()) {
    side->schedule(ring.timers.next());
  }
}

// Answers of one operation stay in order; answers of different ones need not.
void Backend::State::deliver(std::vector<Queued> completions) {
  World::Core& core = *side->core;
  for (std::size_t i = 1; i < completions.size(); ++i) {
    const bool swap = completions[i - 1].operation != completions[i].operation &&
                      core.random.chance(core.options.faults.reordered);
    if (swap) std::swap(completions[i - 1], completions[i]);
  }
  for (Queued& entry : completions) {
    core.note(sim::Happening::kCompletion, static_cast<std::uint64_t>(entry.completion.result),
              entry.completion.more ? 1 : 0);
    entry.completion.buffers = entry.buffers;
    if (!entry.completion.more) {
      entry.operation->in_flight_ = false;
      --side->in_flight;
    }
    entry.operation->on_completion(entry.completion);
  }
}

// The kernel looks at submissions, cancellations among them, in their order. By then the operation
// that a cancellation means may have ended and be gone.
void Backend::State::enter() {
  World::Core& core = *side->core;
  for (const Submitted& entry : std::exchange(side->submissions, {})) {
    if (entry.cancel) {
      const bool late = core.random.chance(core.options.faults.late_cancel);
      cancel(entry.token, entry.handle, late ? kLateCancel : 0);
      continue;
    }
    SimSocket* socket = core.socket(entry.handle);
    if (socket == nullptr) {
      side->complete(entry.operation, -EBADF);
    } else {
      socket->start(Pending{entry.operation, entry.submission, side.get(), entry.token});
    }
  }
}

void Backend::State::cancel(std::uint64_t token, int handle, std::uint64_t late) {
  World::Core& core = *side->core;
  if (late > 0) {
    const auto when = Duration(static_cast<std::int64_t>(core.random.below(late)));
    core.after(when, [weak = std::weak_ptr(side), this, token, handle] {
      const auto alive = weak.lock();
      if (alive != nullptr && !alive->dead()) cancel(token, handle, 0);
    });
    return;
  }
  SimSocket* socket = core.socket(handle);
  if (socket != nullptr) socket->cancel(token);
}

void Backend::submit(Operation& operation, const Submission& submission) noexcept {
  MESH_CHECK(!operation.in_flight_);
  RingState& side = *state_->side;
  operation.in_flight_ = true;
  operation.token_ = ++side.core->operation_count;
  operation.handle_ = submission.handle;
  ++side.in_flight;
  side.submissions.push_back({&operation, submission, submission.handle, operation.token_, false});
  side.schedule(side.core->now);
}

void Backend::cancel(Operation& operation) noexcept {
  if (!operation.in_flight_) return;
  RingState& side = *state_->side;
  side.submissions.push_back(
      {nullptr, {.opcode = Opcode::kPoll}, operation.handle_, operation.token_, true});
  side.schedule(side.core->now);
}

unsigned Backend::in_flight() const noexcept { return state_->side->in_flight; }

Result<Done> Backend::open_pool(BufferClass, unsigned) noexcept { return Done{}; }

void Backend::provide(BufferClass kind, std::uint16_t id, std::byte* memory,
                      std::size_t length) noexcept {
  state_->side->provided_of(kind).push_back({id, memory, length});
}

TimePoint Backend::now() const noexcept { return state_->side->core->now; }
WallTime Backend::wall_now() const noexcept {
  const World::Core& core = *state_->side->core;
  return core.epoch + core.now.time_since_epoch();
}
std::uint64_t Backend::random() noexcept { return state_->side->core->random.next(); }
void Backend::wake() noexcept { state_->side->wake(); }

// What is done at once.

Result<int> Backend::open_socket(const SocketSpec& spec) noexcept {
  World::Core& core = *state_->side->core;
  const Faults& faults = core.options.faults;
  if (!core.descriptors_left()) return failed_with_errno(EMFILE, "socket");
  if (spec.type == SocketType::kStream && core.random.chance(faults.connect_exhausted)) {
    return failed_with_errno(core.random.chance(0.5) ? EMFILE : ENOBUFS, "socket");
  }
  sim::Host::State* host = spec.netns == nullptr ? &state_->side->host : core.host_of(*spec.netns);
  if (host == nullptr) return failed_with_errno(EINVAL, "enter network namespace");
  auto socket = std::make_unique<SimSocket>(core, *host, spec);
  socket->exempt = host != &state_->side->host;
  socket->owner = state_->side->id;
  TRY_DO(socket->bind(spec));
  return core.add_socket(std::move(socket)).handle;
}

void Backend::close(int handle, CloseHow how) noexcept {
  World::Core& core = *state_->side->core;
  SimSocket* socket = core.socket(handle);
  MESH_CHECK(socket != nullptr);
  socket->close(how);
  core.remove_socket(handle);
}

Result<Done> Backend::finish_sending(int handle) noexcept {
  SimSocket& socket = *state_->side->core->socket(handle);
  if (socket.connection == nullptr || socket.connection->half(socket.side).reset) {
    return failed_with_errno(ECONNRESET, "shutdown");
  }
  socket.reset_unless_finished = false;
  socket.connection->finish(socket.side);
  return Done{};
}

Result<Done> Backend::hear_only(int handle, const net::SocketAddress& peer) noexcept {
  state_->side->core->socket(handle)->only_peer = peer;
  return Done{};
}

void Backend::abort(int handle) noexcept {
  SimSocket& socket = *state_->side->core->socket(handle);
  if (socket.connection != nullptr) socket.connection->reset(socket.side);
}

net::SocketAddress Backend::local_address(int handle) const noexcept {
  return state_->side->core->socket(handle)->local;
}

net::SocketAddress Backend::peer_address(int handle) const noexcept {
  const SimSocket& socket = *state_->side->core->socket(handle);
  if (socket.connection == nullptr) return {};
  return socket.connection->half(socket.side).peer;
}

std::optional<std::size_t> Backend::readable(int handle) const noexcept {
  const SimSocket& socket = *state_->side->core->socket(handle);
  if (socket.connection == nullptr) return 0;
  const sim::Half& half = socket.connection->half(socket.side);
  if (!half.unread.empty()) return half.unread.size();
  if (half.at_end() || half.reset) return 0;
  return std::nullopt;
}

// The model's paths have no queue that a sample could be taken of: the link's own delay.
std::optional<Duration> Backend::shortest_round_trip(int handle) const noexcept {
  World::Core& core = *state_->side->core;
  const SimSocket& socket = *core.socket(handle);
  if (socket.connection == nullptr) return std::nullopt;
  const sim::Host::State& near = *socket.connection->half(socket.side).host;
  const sim::Host::State& far = *socket.connection->half(1 - socket.side).host;
  return core.link(near, far).link.delay + core.link(far, near).link.delay;
}

bool Backend::choose_port_among(int, std::optional<PortWindow>) noexcept { return false; }

void Backend::use_congestion_control(int handle, std::string_view name) noexcept {
  state_->side->core->socket(handle)->congestion_control.emplace(name);
}

std::string Backend::congestion_control(int handle) const {
  return state_->side->core->socket(handle)->congestion_control.value_or("");
}

void Backend::finish_receive_from(DatagramIo&) const noexcept {}

}  // namespace internal
}  // namespace mesh::io
