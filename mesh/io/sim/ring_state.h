#pragma once
// The simulator's side of one ring. Internal to mesh/io/sim.

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "mesh/io/sim/core.h"

namespace mesh::io::sim {

struct Queued {
  internal::Operation* operation;
  internal::Completion completion;
  std::vector<std::uint16_t> buffers;
};

struct Submitted {
  internal::Operation* operation;
  internal::Submission submission;
  int handle;
  std::uint64_t token;
  bool cancel;
};

struct Provided {
  std::uint16_t id;
  std::byte* memory;
  std::size_t length;
};

struct RingState : std::enable_shared_from_this<RingState> {
  RingState(std::shared_ptr<World::Core> world, Host::State& at, std::uint64_t number) noexcept
      : core(std::move(world)), host(at), id(number) {
    core->rings.push_back(this);
  }
  ~RingState() {
    if (core != nullptr) std::erase(core->rings, this);
  }
  RingState(const RingState&) = delete;
  RingState& operator=(const RingState&) = delete;

  // Its process is killed: it has no turn any more, and nothing is answered.
  void die() noexcept;
  bool dead() const noexcept { return core == nullptr; }

  // Has its turn at `when`, or sooner if that is agreed already.
  void schedule(TimePoint when);
  // Soon: a completion, a message.
  void wake();
  void complete(internal::Operation* operation, int result, bool more = false, bool pending = false,
                std::vector<std::uint16_t> buffers = {});
  std::deque<Provided>& provided_of(BufferClass kind) noexcept {
    return provided[static_cast<std::size_t>(kind)];
  }

  std::shared_ptr<World::Core> core;  // null: dead
  Host::State& host;
  std::uint64_t id;
  const Ring::Impl* impl = nullptr;
  std::vector<Submitted> submissions;
  std::vector<Queued> completions;
  std::array<std::deque<Provided>, kBufferClasses> provided;
  unsigned in_flight = 0;
  std::function<void()> turn;
  TimePoint scheduled_at = TimePoint::max();
  TimePoint busy_until{};
};

}  // namespace mesh::io::sim
