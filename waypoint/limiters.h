#pragma once
// Limiters: the token buckets of this process. What is limited is limited over all rings together.
//
// Threads: any; a lock for the time of one decision, and only where a rate limit is configured.
// Limits: kMax buckets' owners; the one that was asked least lately goes.

#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <string_view>

#include "mesh/io/ring.h"
#include "waypoint/limits/local_limit.h"

namespace mesh::waypoint {

class Limiters {
 public:
  static constexpr std::size_t kMax = 4096;

  // `owner`: the chain and route that have this limit. Other settings begin anew, full.
  limits::LimitResult decide(std::string_view owner, const config::LocalRateLimit& settings,
                             std::span<const limits::Descriptor> asked, io::TimePoint now,
                             http::Dice& dice);

 private:
  struct Entry {
    limits::LocalLimiter limiter;
    io::TimePoint asked_at;
  };
  std::mutex mutex_;
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace mesh::waypoint
