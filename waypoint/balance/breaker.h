#pragma once
// Breaker: how much one cluster may have under way, per priority. Envoy's circuit breakers.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "waypoint/config/cluster.h"

namespace mesh::waypoint::balance {

// What is under way; several breakers of one cluster, one a thread, may share it.
struct BreakerCounts {
  std::atomic<std::uint64_t> now[4] = {};
  std::atomic<std::uint64_t> overflows[4] = {};
};

// Threads: its own; the counts behind it are shared.
class Breaker {
 public:
  enum class What : std::uint8_t { kConnection, kPending, kRequest, kRetry };

  // One of what is under way, as long as this lives. It may outlive the breaker.
  class Held {
   public:
    Held(std::shared_ptr<BreakerCounts> counts, What what)
        : counts_(std::move(counts)), what_(what) {}
    Held(Held&&) noexcept = default;
    Held& operator=(Held&& other) noexcept {
      std::swap(counts_, other.counts_);
      std::swap(what_, other.what_);
      return *this;
    }
    ~Held() {
      if (counts_) counts_->now[index(what_)].fetch_sub(1, std::memory_order_relaxed);
    }

   private:
    std::shared_ptr<BreakerCounts> counts_;
    What what_;
  };

  explicit Breaker(config::CircuitBreaker limits,
                   std::shared_ptr<BreakerCounts> counts = std::make_shared<BreakerCounts>())
      : limits_(limits), counts_(std::move(counts)) {}
  // What is under way stays; only the limits change.
  void set_limits(const config::CircuitBreaker& limits) { limits_ = limits; }

  // One more, if it fits. False: overflow (503, flag UO, x-envoy-overloaded: true; a retry that
  // does not fit is not made).
  [[nodiscard]] bool acquire(What what) {
    auto& now = counts_->now[index(what)];
    if (now.fetch_add(1, std::memory_order_relaxed) < limit(what)) return true;
    now.fetch_sub(1, std::memory_order_relaxed);
    counts_->overflows[index(what)].fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  void release(What what) {
    auto& now = counts_->now[index(what)];
    if (now.load(std::memory_order_relaxed) > 0) now.fetch_sub(1, std::memory_order_relaxed);
  }
  // The same, given back by itself. None: overflow.
  [[nodiscard]] std::optional<Held> hold(What what) {
    if (!acquire(what)) return std::nullopt;
    return Held(counts_, what);
  }

  bool fits(What what) const { return now(what) < limit(what); }
  std::uint64_t now(What what) const {
    return counts_->now[index(what)].load(std::memory_order_relaxed);
  }
  std::uint64_t overflows(What what) const {
    return counts_->overflows[index(what)].load(std::memory_order_relaxed);
  }
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
    const auto under_way = static_cast<double>(now(What::kRequest) + now(What::kPending));
    const auto share = static_cast<std::uint64_t>(limits_.budget->percent / 100.0 * under_way);
    return std::max<std::uint64_t>(share, limits_.budget->min_concurrency);
  }

  config::CircuitBreaker limits_;
  std::shared_ptr<BreakerCounts> counts_;
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
