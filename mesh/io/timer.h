#pragma once
// Time: sleeping, and a limit on how long anything may take.

#include <cstddef>
#include <utility>

#include "mesh/base/result.h"
#include "mesh/io/ring.h"
#include "mesh/io/task_scope.h"

namespace mesh::io {

// Errors: kCancelled.
Task<Result<Done>> sleep_for(Ring& ring, Duration duration);
Task<Result<Done>> sleep_until(Ring& ring, TimePoint when);

// Something to be told at a time. Intrusive: no allocation, no kernel operation of its own.
// Cost: O(log n) of the ring's armed timers.
class Timer {
 public:
  explicit Timer(Ring& ring) noexcept : ring_(ring) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // Replaces an earlier time.
  void arm(TimePoint when);
  void disarm() noexcept;
  bool armed() const noexcept { return slot_ != kNoSlot; }

 protected:
  ~Timer() { disarm(); }
  // From the loop, once per arm(); it may arm again. Must not resume a coroutine.
  virtual void on_time() noexcept = 0;

 private:
  friend class TimerHeap;
  static constexpr std::size_t kNoSlot = ~std::size_t{0};
  Ring& ring_;
  TimePoint when_{};
  std::uint64_t order_ = 0;
  std::size_t slot_ = kNoSlot;
};

namespace internal {

// Cancels `scope` when the time has come.
class Deadline final : Timer {
 public:
  Deadline(Ring& ring, Duration limit, CancelScope* outer);
  CancelScope scope;
  bool passed() const noexcept { return passed_; }

 private:
  void on_time() noexcept override;
  bool passed_ = false;
};

}  // namespace internal

// Runs `task`; when it is not done after `limit` it is cancelled and joined, and the result is
// kTimedOut naming `during`. An answer that arrives anyway is kept. A cancellation from outside is
// passed on as kCancelled. A `limit` of zero or less is already over; Duration::max() is none.
template <class T>
Task<Result<T>> with_deadline(Ring& ring, Duration limit, const char* during,
                              Task<Result<T>> task) {
  CancelScope* outer = co_await current_cancel();
  internal::Deadline deadline(ring, limit, outer);
  Result<T> result = co_await std::move(task).under(deadline.scope);
  const bool stopped = !result.has_value() && result.error().reason == Reason::kCancelled;
  if (stopped && deadline.passed() && (outer == nullptr || !outer->requested())) {
    co_return failed(Reason::kTimedOut, during);
  }
  co_return result;
}

}  // namespace mesh::io
