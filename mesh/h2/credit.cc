#include "mesh/h2/credit.h"

#include <algorithm>
#include <utility>

#include "mesh/base/check.h"

namespace mesh::h2 {

StreamCredit::~StreamCredit() {
  budget_->unread -= unread_;
  budget_->growth -= credit_ - kCreditInitial;
}

void StreamCredit::received(std::size_t bytes) {
  unread_ += bytes;
  since_probe_ += bytes;
  budget_->unread += bytes;
}

std::uint32_t StreamCredit::consumed(std::size_t bytes) {
  MESH_CHECK(bytes <= unread_);
  unread_ -= bytes;
  budget_->unread -= bytes;
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
  if (budget_->growth + more > budget_->growth_max) return 0;
  credit_ += more;
  budget_->growth += more;
  return more;
}

}  // namespace mesh::h2
