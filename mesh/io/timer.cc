#include "mesh/io/timer.h"

#include "mesh/io/event.h"
#include "mesh/io/ring_impl.h"

namespace mesh::io {
namespace {

// Wakes one sleeping coroutine.
class Alarm final : public Timer {
 public:
  explicit Alarm(Ring& ring) noexcept : Timer(ring), waiters_(ring) {}
  auto wait() noexcept { return waiters_.wait(); }

 private:
  void on_time() noexcept override { waiters_.wake_all(); }
  internal::WaitList waiters_;
};

}  // namespace

void Timer::arm(TimePoint when) { ring_.impl().timers.arm(*this, when); }

void Timer::disarm() noexcept {
  if (armed()) ring_.impl().timers.disarm(*this);
}

Task<Result<Done>> sleep_for(Ring& ring, Duration duration) {
  return sleep_until(ring, ring.now() + duration);
}

Task<Result<Done>> sleep_until(Ring& ring, TimePoint when) {
  Alarm alarm(ring);
  alarm.arm(when);
  if (!co_await alarm.wait()) co_return failed(Reason::kCancelled, "sleep");
  co_return Done{};
}

namespace internal {

Deadline::Deadline(Ring& ring, Duration limit, CancelScope* outer) : Timer(ring), scope(outer) {
  if (limit != Duration::max()) arm(ring.now() + limit);
}

void Deadline::on_time() noexcept {
  passed_ = true;
  scope.request();
}

}  // namespace internal
}  // namespace mesh::io
