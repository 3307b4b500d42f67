#include "mesh/h2/flood.h"

#include <algorithm>
#include <chrono>

namespace mesh::h2 {

FloodGuard::FloodGuard(const Limits& limits, io::TimePoint now) {
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    buckets_[i] = {.rate = limits.flood[i], .tokens = limits.flood[i].burst, .filled_at = now};
  }
}

bool FloodGuard::allow(Flood kind, io::TimePoint now) {
  Bucket& bucket = buckets_[static_cast<std::size_t>(kind)];
  if (now > bucket.filled_at) {
    const double seconds = std::chrono::duration<double>(now - bucket.filled_at).count();
    bucket.tokens = std::min(bucket.rate.burst, bucket.tokens + seconds * bucket.rate.per_second);
    bucket.filled_at = now;
  }
  if (bucket.tokens < 1) return false;
  bucket.tokens -= 1;
  return true;
}

void FloodGuard::earn(Flood kind, double tokens) {
  Bucket& bucket = buckets_[static_cast<std::size_t>(kind)];
  bucket.tokens = std::min(bucket.rate.burst, bucket.tokens + tokens);
}

}  // namespace mesh::h2
