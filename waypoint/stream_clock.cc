#include "waypoint/stream_clock.h"

#include <algorithm>

namespace mesh::waypoint {

void StreamClock::limit_idle(io::Duration limit) {
  idle_ = std::max(limit, io::Duration::zero());
  touch();
  rearm();
}

void StreamClock::set(io::TimePoint& which, io::Duration limit) {
  const io::TimePoint until = limit > io::Duration::zero() ? ring_.now() + limit : kNever;
  if (std::exchange(which, until) != until) rearm();
}

io::TimePoint StreamClock::moved() const {
  return activity_ == nullptr ? touched_ : std::max(touched_, activity_->moved());
}

io::TimePoint StreamClock::idle_until() const {
  return idle_ > io::Duration::zero() ? moved() + idle_ : kNever;
}

void StreamClock::rearm() {
  const io::TimePoint next = std::min({idle_until(), request_, whole_, stream_});
  if (over_ != Over::kNo || next == kNever) {
    disarm();
  } else {
    arm(next);
  }
}

// The idle time may have moved on since it was armed.
void StreamClock::on_time() noexcept {
  const io::TimePoint now = ring_.now();
  if (now >= whole_) {
    over_ = Over::kWhole;
  } else if (now >= stream_) {
    over_ = Over::kStream;
  } else if (now >= request_) {
    over_ = Over::kRequest;
  } else if (now >= idle_until()) {
    over_ = Over::kIdle;
  }
  if (over_ == Over::kNo) return rearm();
  scope.request();
}

}  // namespace mesh::waypoint
