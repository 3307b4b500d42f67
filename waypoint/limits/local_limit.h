#pragma once
// Local rate limits, and the descriptors that local and global ones go by. Pure: the time and the
// dice are parameters.

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mesh/net/address.h"
#include "waypoint/config/filter.h"
#include "waypoint/config/route.h"
#include "waypoint/http/dice.h"
#include "waypoint/http/request.h"
#include "waypoint/http/value.h"

namespace mesh::waypoint::limits {

using Time = std::chrono::nanoseconds;  // since any origin, always the same one

// Tokens that come back at whole intervals; full at first.
class TokenBucket {
 public:
  TokenBucket(const config::TokenBucket& settings, Time now);
  bool take(Time now);
  std::uint32_t tokens(Time now);
  // Until there is a token again; 0: there is one.
  Time wait(Time now);
  const config::TokenBucket& settings() const { return settings_; }

 private:
  void fill(Time now);

  config::TokenBucket settings_;
  std::uint32_t tokens_;
  Time filled_at_;
};

using Descriptor = std::vector<std::pair<std::string, std::string>>;

// What the entries of a descriptor are made from. Borrows.
struct DescriptorContext {
  const http::Request* request = nullptr;
  net::IpAddress remote = {};
  std::string_view source_cluster = {};
  std::string_view destination_cluster = {};
  const http::Value* metadata = nullptr;  // by filter; null: none
};

// One descriptor for each rule of `stage` whose every action yields something.
std::vector<Descriptor> descriptors(std::span<const config::RateLimitDescriptor> rules,
                                    std::uint32_t stage, const DescriptorContext& context);

enum class LimitResult : std::uint8_t {
  kOff,  // not enabled for this request
  kWithin,
  kOverNoted,  // over, and only counted
  kOver,       // 429 (or gRPC's code), x-envoy-ratelimited, flag RL
};

// One filter's, or one route's, buckets. One per thread or one behind a lock: what is counted is
// counted where it lives.
class LocalLimiter {
 public:
  LocalLimiter(const config::LocalRateLimit& settings, Time now);

  // Takes a token of each bucket whose descriptor is among `asked`, the slowest first, and then one
  // of the whole.
  LimitResult decide(std::span<const Descriptor> asked, Time now, http::Dice& dice);
  const config::LocalRateLimit& settings() const { return settings_; }

 private:
  config::LocalRateLimit settings_;
  std::optional<TokenBucket> whole_;
  std::vector<TokenBucket> by_descriptor_;
};

// What a fault filter does to a request.
struct FaultDecision {
  std::optional<std::chrono::milliseconds> delay = {};  // flag DI
  std::uint16_t abort_status = 0;                       // flag FI; 0: none
  std::optional<std::uint32_t> abort_grpc = {};         // then the status is 200, trailers only
};
// `active`: faults under way in this filter.
FaultDecision decide_fault(const config::Fault& fault, const http::Request& request,
                           std::string_view cluster, std::uint64_t active, http::Dice& dice);

}  // namespace mesh::waypoint::limits
