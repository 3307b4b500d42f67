#pragma once
// The armed timers of one ring, soonest first. Internal to mesh/io.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "mesh/io/ring.h"

namespace mesh::io {

class Timer;

// A binary heap of borrowed timers; timers for the same instant fire in the order of arming.
class TimerHeap {
 public:
  ~TimerHeap();  // every timer must be disarmed: it borrows the ring

  void arm(Timer& timer, TimePoint when);
  void disarm(Timer& timer) noexcept;
  // Calls on_time() of those that are due; those they arm for `now` or before wait for the next
  // call.
  void fire(TimePoint now);

  bool empty() const noexcept { return heap_.empty(); }
  TimePoint next() const noexcept;  // when not empty

 private:
  static bool sooner(const Timer& a, const Timer& b) noexcept;
  void place(std::size_t slot, Timer* timer) noexcept;
  void sift_up(std::size_t slot) noexcept;
  void sift_down(std::size_t slot) noexcept;

  std::vector<Timer*> heap_;
  std::uint64_t armed_count_ = 0;
};

}  // namespace mesh::io
