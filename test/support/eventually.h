#pragma once
// co_await eventually(ring, condition): lets the ring run until `condition` holds, ten seconds at
// most; whether it does. For what several coroutines bring about together.

#include <functional>

#include "mesh/io/ring.h"
#include "mesh/io/task.h"
#include "mesh/io/timer.h"

namespace mesh::test {

inline io::Task<bool> eventually(io::Ring& ring, const std::function<bool()>& condition) {
  const io::TimePoint until = ring.now() + std::chrono::seconds(10);
  while (!condition()) {
    if (ring.now() > until) co_return false;
    const auto slept = co_await io::sleep_for(ring, std::chrono::milliseconds(1));
    if (!slept) co_return false;
  }
  co_return true;
}

// Lets time pass. For tests on io_sim, where it takes none.
inline io::Task<Result<Done>> pass(io::Ring& ring, io::Duration time) {
  return io::sleep_for(ring, time);
}

}  // namespace mesh::test
