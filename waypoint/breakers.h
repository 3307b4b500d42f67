#pragma once
// Breakers: what is under way in each cluster, over all rings of this process: a limit of 10
// connections is 10, however many workers there are.
//
// Threads: any; a lock to find a cluster's counts, none to count.

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "waypoint/balance/breaker.h"

namespace mesh::waypoint {

class Breakers {
 public:
  // The same counts for the same cluster as long as somebody has them.
  std::shared_ptr<balance::BreakerCounts> of(std::string_view cluster, bool high) {
    const std::scoped_lock lock(mutex_);
    std::erase_if(counts_, [](const auto& item) { return item.second.expired(); });
    auto& known = counts_[{std::string(cluster), high}];
    auto counts = known.lock();
    if (!counts) known = counts = std::make_shared<balance::BreakerCounts>();
    return counts;
  }

 private:
  std::mutex mutex_;
  std::map<std::pair<std::string, bool>, std::weak_ptr<balance::BreakerCounts>> counts_;
};

}  // namespace mesh::waypoint
