#include "waypoint/limiters.h"

#include <algorithm>

namespace mesh::waypoint {
namespace {

bool same(const config::LocalRateLimit& a, const config::LocalRateLimit& b) {
  return a.bucket == b.bucket && a.enabled == b.enabled && a.enforced == b.enforced &&
         std::ranges::equal(a.descriptors, b.descriptors, [](const auto& x, const auto& y) {
           return x.entries == y.entries && x.bucket == y.bucket;
         });
}

}  // namespace

limits::LimitResult Limiters::decide(std::string_view owner, const config::LocalRateLimit& settings,
                                     std::span<const limits::Descriptor> asked, io::TimePoint now,
                                     http::Dice& dice) {
  const std::scoped_lock lock(mutex_);
  const limits::Time at = now.time_since_epoch();
  auto found = entries_.find(owner);
  if (found != entries_.end() && !same(found->second.limiter.settings(), settings)) {
    entries_.erase(found);
    found = entries_.end();
  }
  if (found == entries_.end()) {
    if (entries_.size() >= kMax) {
      entries_.erase(std::ranges::min_element(
          entries_, {}, [](const auto& entry) { return entry.second.asked_at; }));
    }
    found = entries_
                .emplace(std::string(owner),
                         Entry{.limiter = limits::LocalLimiter(settings, at), .asked_at = now})
                .first;
  }
  found->second.asked_at = std::max(found->second.asked_at, now);
  return found->second.limiter.decide(asked, at, dice);
}

}  // namespace mesh::waypoint
