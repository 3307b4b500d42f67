#pragma once
// Ring: one thread's event loop, and the door to everything that waits.
//
// There are two implementations of what is below this header, chosen at link time: io_uring (the
// kernel) and io_sim (virtual time, a seeded scheduler, a modelled network). Code above mesh/io
// cannot tell which it runs on: it takes time, randomness and sockets from here and nowhere else.

#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "mesh/base/result.h"
#include "mesh/io/buffer.h"
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
  unsigned entries = 1024;      // submissions batched per kernel entry; more flush early
  unsigned relay_buffers = 32;  // see buffer.h; made at the first use, grown on demand
  unsigned relay_buffers_max = 4096;
  unsigned wire_buffers = 8;
  unsigned wire_buffers_max = 1024;
};

class Ring;

namespace internal {

// A suspended coroutine in the queue of what runs next. Lives in that coroutine's frame.
struct Resumption {
  std::coroutine_handle<> coroutine;
  Resumption* next = nullptr;
};
// Resumes it in this turn of the loop or the next, never inside the call.
void resume_soon(Ring& ring, Resumption& resumption) noexcept;

}  // namespace internal

// Threads: construct, run and destroy on one thread; post() alone may be called from any thread.
class Ring {
 public:
  struct Impl;

  // Errors: kSystem with EPERM when io_uring is refused (seccomp, kernel.io_uring_disabled), with
  // ENOSYS or EINVAL when the kernel is older than 6.1; explain_create_error() has the sentence.
  static Result<std::unique_ptr<Ring>> create(RingOptions options = {});
  ~Ring();  // every socket, timer and listener of this ring must be gone
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  // Runs the loop until `main` is done and no operation that somebody awaits is in flight. Not
  // reentrant; may be called again.
  void run(Task<void> main);

  // Runs `action` on the ring's thread, soon, outside any coroutine. Any thread, while the ring
  // lives. A snapshot for every worker travels this way. What was posted and not run when run()
  // returns is run by the next run(), or destroyed with the ring.
  void post(std::move_only_function<void()> action);

  // The time of this turn of the loop (cheap: no clock read).
  TimePoint now() const noexcept;
  WallTime wall_now() const noexcept;
  // Uniform; from the kernel, or from the seed of a simulation.
  std::uint64_t random() noexcept;

  // How much of the ring's buffers one flow may hold now, at each place where its bytes wait: 480
  // KiB while nearly all are free, less as they run short, so that many flows that stall leave some
  // for the others. Whole buffers; at least one.
  std::size_t bulk_share(BufferClass kind) const noexcept;

  // Operations that the back end still owns, receives armed ahead of their reader included.
  unsigned in_flight() const noexcept;

  Impl& impl() noexcept { return *impl_; }

 private:
  explicit Ring(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// One sentence for an operator: what refused the ring, and what to do about it.
const char* explain_create_error(const Error& error);

// Lets everything else that is ready run first.
class [[nodiscard]] yield {
 public:
  explicit yield(Ring& ring) noexcept : ring_(ring) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> caller) noexcept {
    resumption_.coroutine = caller;
    internal::resume_soon(ring_, resumption_);
  }
  void await_resume() const noexcept {}

 private:
  Ring& ring_;
  internal::Resumption resumption_;
};

}  // namespace mesh::io
