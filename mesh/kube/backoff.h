#pragma once
// How long to wait before the next try: doubled each time, with jitter, so that replicas that lost
// the same server do not come back in step. Seeded: the same seed waits the same.

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace mesh::kube {

class Backoff {
 public:
  using Milliseconds = std::chrono::milliseconds;

  Backoff(Milliseconds first, Milliseconds most, std::uint64_t seed)
      : first_(first), most_(most), current_(first), state_(seed) {}

  // Between half of the step and all of it.
  Milliseconds next() {
    const Milliseconds step = current_;
    current_ = std::min(most_, current_ * 2);
    return step / 2 + within(step / 2);
  }

  void reset() { current_ = first_; }

  // A random part of `span`.
  Milliseconds within(Milliseconds span) {
    if (span.count() <= 0) return Milliseconds(0);
    return Milliseconds(
        static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(span.count() + 1)));
  }

 private:
  std::uint64_t random() {  // splitmix64
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  Milliseconds first_, most_, current_;
  std::uint64_t state_;
};

}  // namespace mesh::kube
