#pragma once
// Credit: how many bytes a stream's peer may send before its reader has taken any.
//
// A stream starts with 256 KiB. It gets more only while its reader keeps up and the measured
// bandwidth-delay product asks for it: if what arrives within the path's shortest round trip (of a
// PING) would fill half of the credit, then the credit, not the path, is the limit. The shortest,
// because an answer that queues behind the stream's own bytes says nothing of the path. So a
// stalled stream holds 256 KiB on a short path, and one stream still fills a long one.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "mesh/io/ring.h"

namespace mesh::h2 {

inline constexpr std::uint32_t kCreditInitial = 256 * 1024;
inline constexpr std::uint32_t kCreditMax = 8 * 1024 * 1024;

// Waits until a budget has room again.
class BudgetWaiter {
 public:
  virtual ~BudgetWaiter() = default;
  virtual void on_budget_left() = 0;  // may wait again at once
};

// What several connections together may have granted beyond the initial credits, and what may lie
// unread in them. Those of one peer share one, whose parent is that of the worker. Single-threaded.
class CreditBudget {
 public:
  std::size_t growth_max = 256 * 1024 * 1024;
  std::size_t unread_max = 256 * 1024 * 1024;
  CreditBudget* parent = nullptr;  // outlives it; counts what is counted here, and bounds it too

  std::size_t growth() const { return growth_; }  // granted beyond kCreditInitial
  std::size_t unread() const { return unread_; }  // received, not yet taken by a reader
  bool over() const { return unread_ > unread_max || (parent != nullptr && parent->over()); }

  void received(std::size_t bytes);
  void taken(std::size_t bytes);
  bool grow(std::size_t bytes);  // false: it may not
  void shrink(std::size_t bytes);
  // While over().
  void wait(BudgetWaiter& waiter);
  void forget(BudgetWaiter& waiter);

 private:
  std::size_t growth_ = 0;
  std::size_t unread_ = 0;
  std::vector<BudgetWaiter*> waiting_;
};

// The credit of one stream. Pure; the connection tells it what happens.
class StreamCredit {
 public:
  explicit StreamCredit(CreditBudget& budget) : budget_(&budget) {}
  StreamCredit(const StreamCredit&) = delete;
  StreamCredit& operator=(const StreamCredit&) = delete;
  ~StreamCredit();

  void received(std::size_t bytes);
  // How much to give back to the peer now (0: not yet worth a frame). `bytes` must have been
  // received.
  std::uint32_t consumed(std::size_t bytes);
  std::uint32_t credit() const { return credit_; }
  std::size_t unread() const { return unread_; }

  // Enough arrives to make a measurement worth a PING.
  bool wants_measuring() const { return credit_ < kCreditMax && since_probe_ >= credit_ / 4; }
  void round_trip_begins();
  // This round trip took `trip`; the shortest one seen took `shortest` (at most `trip`). How much
  // the credit grew (0: the path or the reader is the limit, not the credit).
  std::uint32_t round_trip_ended(io::Duration shortest, io::Duration trip);

 private:
  CreditBudget* budget_;
  std::uint32_t credit_ = kCreditInitial;
  std::uint32_t owed_ = 0;  // consumed, not yet given back
  std::size_t unread_ = 0;
  std::size_t since_probe_ = 0;  // received since the last round trip began
};

}  // namespace mesh::h2
