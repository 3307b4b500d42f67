#include "mesh/io/timer_heap.h"

#include "mesh/base/check.h"
#include "mesh/io/timer.h"

namespace mesh::io {

TimerHeap::~TimerHeap() { MESH_CHECK(heap_.empty()); }

void TimerHeap::arm(Timer& timer, TimePoint when) {
  disarm(timer);
  timer.when_ = when;
  timer.order_ = armed_count_++;
  heap_.push_back(&timer);
  timer.slot_ = heap_.size() - 1;
  sift_up(timer.slot_);
}

void TimerHeap::disarm(Timer& timer) noexcept {
  const std::size_t slot = timer.slot_;
  if (slot == Timer::kNoSlot) return;
  timer.slot_ = Timer::kNoSlot;
  Timer* last = heap_.back();
  heap_.pop_back();
  if (last == &timer) return;
  place(slot, last);
  sift_up(slot);
  sift_down(last->slot_);
}

void TimerHeap::fire(TimePoint now) {
  const std::uint64_t armed_before = armed_count_;
  while (!heap_.empty()) {
    Timer& first = *heap_.front();
    if (first.when_ > now || first.order_ >= armed_before) return;
    disarm(first);
    first.on_time();
  }
}

TimePoint TimerHeap::next() const noexcept { return heap_.front()->when_; }

bool TimerHeap::sooner(const Timer& a, const Timer& b) noexcept {
  return a.when_ != b.when_ ? a.when_ < b.when_ : a.order_ < b.order_;
}

void TimerHeap::place(std::size_t slot, Timer* timer) noexcept {
  heap_[slot] = timer;
  timer->slot_ = slot;
}

void TimerHeap::sift_up(std::size_t slot) noexcept {
  Timer* timer = heap_[slot];
  while (slot > 0) {
    const std::size_t parent = (slot - 1) / 2;
    if (!sooner(*timer, *heap_[parent])) break;
    place(slot, heap_[parent]);
    slot = parent;
  }
  place(slot, timer);
}

void TimerHeap::sift_down(std::size_t slot) noexcept {
  Timer* timer = heap_[slot];
  for (;;) {
    std::size_t child = 2 * slot + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && sooner(*heap_[child + 1], *heap_[child])) ++child;
    if (!sooner(*heap_[child], *timer)) break;
    place(slot, heap_[child]);
    slot = child;
  }
  place(slot, timer);
}

}  // namespace mesh::io
