#pragma once
// Ring: one thread's event loop, and the door to everything that waits.
//
// There are two implementations of this header and of the rest of mesh/io's port, chosen at link
// time: io_uring (the kernel) and io_sim (virtual time, a seeded scheduler, a modelled network).
// Code above mesh/io cannot tell which it runs on: it takes time, randomness and sockets from here
// and from nowhere else.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "mesh/base/result.h"
#include "mesh/io/task.h"

namespace mesh::io {

// Monotonic; meaningful only against other values of the same process.
using Duration = std::chrono::nanoseconds;
struct MonotonicClock {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<MonotonicClock>;
  static constexpr bool is_steady = true;
};
using TimePoint = MonotonicClock::time_point;
using WallTime = std::chrono::sys_time<Duration>;

struct RingOptions {
  unsigned entries = 1024;           // submissions batched per kernel entry; more flush early
  unsigned relay_buffers = 256;      // see buffer.h; grown on demand up to the limit below
  unsigned relay_buffers_max = 4096;
  unsigned wire_buffers = 16;
  unsigned wire_buffers_max = 1024;
};

// Threads: construct, run and destroy on one thread; post() alone may be called from any thread.
class Ring {
 public:
  struct Impl;

  // Errors: kSystem with EPERM when io_uring is refused (seccomp, kernel.io_uring_disabled),
  // kSystem with EINVAL when the kernel is older than 6.1.
  static Result<std::unique_ptr<Ring>> create(RingOptions options = {});
  ~Ring();
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  // Runs the loop until `main` is done and nothing is in flight. Not reentrant.
  void run(Task<void> main);

  // Runs `action` on the ring's thread, soon, outside any coroutine of its own. Any thread.
  // A snapshot for every worker travels this way.
  void post(std::move_only_function<void()> action);

  // The time of this turn of the loop (cheap: no clock read).
  TimePoint now() const noexcept;
  WallTime wall_now() const noexcept;
  // Uniform; from the kernel, or from the seed of a simulation.
  std::uint64_t random() noexcept;

  // Operations the back end still owns.
  unsigned in_flight() const noexcept;

  Impl& impl() noexcept { return *impl_; }

 private:
  explicit Ring(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::io
