#pragma once
// Retry: whether a request that failed is tried again, and when. Pure; Envoy's conditions and
// figures.

#include <chrono>
#include <cstdint>
#include <optional>

#include "waypoint/config/route.h"
#include "waypoint/http/dice.h"
#include "waypoint/http/request.h"

namespace mesh::waypoint::balance {

// How a try ended without an answer.
enum class TryFailure : std::uint8_t {
  kConnectFailure,      // no connection, or a timeout while connecting
  kRefusedStream,       // HTTP/2 REFUSED_STREAM, or GOAWAY before it was looked at
  kResetBeforeRequest,  // the connection went before the request was sent
  kReset,               // it went after that, before an answer
  kTryTimeout,          // per_try_timeout, or per_try_idle_timeout
  kOverflow,            // a circuit breaker of ours: never tried again
};

class Retry {
 public:
  // `policy` none: never. Borrows it.
  Retry(const config::RetryPolicy* policy, const http::Request& request);

  // An answer's head. Its body must not have been passed on.
  bool wants(int status, const h2::Headers& response) const;
  bool wants(TryFailure failure) const;

  // Asked after wants(). The wait before the next try; none: there is no further one. Counts it.
  //   by default     uniform in [0, min(base * 2^(n-1), max)), as Envoy's code has it
  //   as a minimum   min(base * 2^(n-1), max), and up to half of it more: never less than asked
  //   rate limited   what the response's header says, up to half of it more
  std::optional<std::chrono::nanoseconds> next(const h2::Headers* response,
                                               std::chrono::sys_seconds wall_now, http::Dice& dice);

  // 1 for the first try: x-envoy-attempt-count.
  std::uint32_t attempt() const { return tries_ + 1; }
  bool enabled() const { return policy_ != nullptr; }

 private:
  bool wants_grpc(const h2::Headers& response) const;
  std::optional<std::chrono::nanoseconds> rate_limited(const h2::Headers& response,
                                                       std::chrono::sys_seconds wall_now) const;

  const config::RetryPolicy* policy_ = nullptr;
  std::uint32_t tries_ = 0;  // made again so far
};

}  // namespace mesh::waypoint::balance
