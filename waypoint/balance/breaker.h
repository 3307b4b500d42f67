#pragma once
// Breaker: how much one cluster may have under way, per priority. Envoy's circuit breakers.

#include <algorithm>
#include <cstdint>
#include <utility>

#include "waypoint/config/cluster.h"

namespace mesh::waypoint::balance {

class Breaker {
 public:
  enum class What : std::uint8_t { kConnection, kPending, kRequest, kRetry };

  explicit Breaker(config::CircuitBreaker limits) : limits_(limits) {}
  // What is under way stays; only the limits change.
  void set_limits(const config::CircuitBreaker& limits) { limits_ = limits; }

  // One more, if it fits. False: overflow (503, flag UO, x-envoy-overloaded: true; a retry that
  // does not fit is not made).
  [[nodiscard]] bool acquire(What what) {
    if (!fits(what)) {
      ++overflows_[index(what)];
      return false;
    }
    ++now_[index(what)];
    return true;
  }
  void release(What what) {
    if (now_[index(what)] > 0) --now_[index(what)];
  }

  bool fits(What what) const { return now_[index(what)] < limit(what); }
  std::uint64_t now(What what) const { return now_[index(what)]; }
  std::uint64_t overflows(What what) const { return overflows_[index(what)]; }
  // With a budget: its percent of what is active and pending, at least its minimum.
  std::uint64_t limit(What what) const {
    switch (what) {
      case What::kConnection:
        return limits_.max_connections;
      case What::kPending:
        return limits_.max_pending;
      case What::kRequest:
        return limits_.max_requests;
      case What::kRetry:
        return limits_.budget ? budget() : limits_.max_retries;
    }
    return 0;
  }

 private:
  static constexpr std::size_t index(What what) { return static_cast<std::size_t>(what); }
  std::uint64_t budget() const {
    const auto under_way =
        static_cast<double>(now_[index(What::kRequest)] + now_[index(What::kPending)]);
    const auto share = static_cast<std::uint64_t>(limits_.budget->percent / 100.0 * under_way);
    return std::max<std::uint64_t>(share, limits_.budget->min_concurrency);
  }

  config::CircuitBreaker limits_;
  std::uint64_t now_[4] = {};
  std::uint64_t overflows_[4] = {};
};

// A place among the requests under way, given back with this. Borrows the breaker.
class Place {
 public:
  explicit Place(Breaker& breaker)
      : breaker_(breaker), fits_(breaker.acquire(Breaker::What::kRequest)) {}
  ~Place() {
    if (fits_) breaker_.release(Breaker::What::kRequest);
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  bool fits() const { return fits_; }
  Breaker& breaker() const { return breaker_; }

 private:
  Breaker& breaker_;
  bool fits_;
};

}  // namespace mesh::waypoint::balance
