#pragma once
// StreamClock: how long a request, a try or a connection may last, and how long it may be silent.
// When a time has come it cancels what runs under its scope, and says which time it was.

#include "mesh/io/cancel.h"
#include "mesh/io/timer.h"

namespace mesh::waypoint {

// Threads: those of its ring. Costs one timer when a limit is set, and a store for each touch().
class StreamClock final : io::Timer {
 public:
  enum class Over : std::uint8_t {
    kNo,
    kIdle,     // nothing moved
    kRequest,  // the client did not send all of its request
    kWhole,    // it took too long
    kStream,   // the longest time a stream may last
  };

  // `activity`: what happens there counts as movement here; it outlives this.
  StreamClock(io::Ring& ring, io::CancelScope* outer, const StreamClock* activity = nullptr)
      : io::Timer(ring), scope(outer), ring_(ring), activity_(activity), touched_(ring.now()) {}

  // Each from now on, in place of what was said before; zero or less is no limit.
  void limit_idle(io::Duration limit);
  void limit_request(io::Duration limit) { set(request_, limit); }
  void limit_whole(io::Duration limit) { set(whole_, limit); }
  void limit_stream(io::Duration limit) { set(stream_, limit); }
  void touch() { touched_ = ring_.now(); }

  Over over() const { return over_; }

  io::CancelScope scope;

 private:
  static constexpr io::TimePoint kNever = io::TimePoint::max();

  void set(io::TimePoint& which, io::Duration limit);
  io::TimePoint moved() const;
  io::TimePoint idle_until() const;
  void rearm();
  void on_time() noexcept override;

  io::Ring& ring_;
  const StreamClock* activity_;
  io::TimePoint touched_;
  io::Duration idle_{};
  io::TimePoint request_ = kNever, whole_ = kNever, stream_ = kNever;
  Over over_ = Over::kNo;
};

}  // namespace mesh::waypoint
