#include "mesh/h2/credit.h"

#include <algorithm>
#include <utility>

#include "mesh/base/check.h"

namespace mesh::h2 {

void CreditBudget::received(std::size_t bytes) {
  for (CreditBudget* one = this; one != nullptr; one = one->parent) one->unread_ += bytes;
}

void CreditBudget::taken(std::size_t bytes) {
  for (CreditBudget* one = this; one != nullptr; one = one->parent) {
    MESH_CHECK(one->unread_ >= bytes);
    one->unread_ -= bytes;
  }
  for (CreditBudget* one = this; one != nullptr; one = one->parent) {
    if (one->waiting_.empty() || one->unread_ > one->unread_max) continue;
    for (BudgetWaiter* waiter : std::exchange(one->waiting_, {})) waiter->on_budget_left();
  }
}

bool CreditBudget::grow(std::size_t bytes) {
  if (growth_ + bytes > growth_max || (parent != nullptr && !parent->grow(bytes))) return false;
  growth_ += bytes;
  return true;
}

void CreditBudget::shrink(std::size_t bytes) {
  for (CreditBudget* one = this; one != nullptr; one = one->parent) one->growth_ -= bytes;
}

void CreditBudget::wait(BudgetWaiter& waiter) {
  CreditBudget* full = this;
  while (full->unread_ <= full->unread_max && full->parent != nullptr) full = full->parent;
  if (std::ranges::find(full->waiting_, &waiter) == full->waiting_.end()) {
    full->waiting_.push_back(&waiter);
  }
}

void CreditBudget::forget(BudgetWaiter& waiter) {
  for (CreditBudget* one = this; one != nullptr; one = one->parent) {
    std::erase(one->waiting_, &waiter);
  }
}

StreamCredit::~StreamCredit() {
  budget_->shrink(credit_ - kCreditInitial);
  budget_->taken(unread_);
}

void StreamCredit::received(std::size_t bytes) {
  unread_ += bytes;
  since_probe_ += bytes;
  budget_->received(bytes);
}

std::uint32_t StreamCredit::consumed(std::size_t bytes) {
  MESH_CHECK(bytes <= unread_);
  unread_ -= bytes;
  budget_->taken(bytes);
  owed_ += static_cast<std::uint32_t>(bytes);
  // A quarter at a time: rarely enough to be cheap, often enough that the sender never waits for
  // more than a quarter of the credit on top of the round trip.
  if (owed_ < credit_ / 4) return 0;
  return std::exchange(owed_, 0);
}

void StreamCredit::round_trip_begins() { since_probe_ = 0; }

std::uint32_t StreamCredit::round_trip_ended(io::Duration shortest, io::Duration trip) {
  const double share =
      trip > shortest ? static_cast<double>(shortest.count()) / static_cast<double>(trip.count())
                      : 1.0;
  const bool credit_limits = static_cast<double>(since_probe_) * share >= credit_ / 2;
  const bool reader_keeps_up = unread_ <= credit_ / 4;
  if (!credit_limits || !reader_keeps_up || credit_ >= kCreditMax) return 0;
  const std::uint32_t more = std::min(credit_, kCreditMax - credit_);
  if (!budget_->grow(more)) return 0;
  credit_ += more;
  return more;
}

}  // namespace mesh::h2
