#pragma once
// What a peer may do to us over one HTTP/2 connection: legal frames at a rate that is an attack end
// it with GOAWAY ENHANCE_YOUR_CALM and Reason::kFlood.

#include <array>
#include <cstdint>
#include <optional>

#include "mesh/io/ring.h"

namespace mesh::h2 {

enum class Flood : std::uint8_t {
  kReset,         // streams reset before they were answered (rapid reset)
  kSettings,      // SETTINGS
  kPing,          // PING
  kEmptyData,     // DATA without payload and without END_STREAM
  kWindowUpdate,  // WINDOW_UPDATE, beyond what the data we send explains
  kHeaders,       // CONTINUATION, or header lists beyond their limit
  kOther,         // PRIORITY, malformed messages
};
inline constexpr int kFloodCount = static_cast<int>(Flood::kOther) + 1;

// A bucket of tokens: `burst` at once, then `per_second`.
struct Rate {
  double burst = 0;
  double per_second = 0;
};

struct Limits {
  std::array<Rate, kFloodCount> flood = {{
      {.burst = 400, .per_second = 100},  // kReset
      {.burst = 32, .per_second = 1},     // kSettings
      {.burst = 200, .per_second = 50},   // kPing: our own peers measure paths with it
      {.burst = 200, .per_second = 20},   // kEmptyData
      {.burst = 4000,
       .per_second = 1000},              // kWindowUpdate, and one more per 128 bytes of data sent
      {.burst = 16, .per_second = 1},    // kHeaders
      {.burst = 400, .per_second = 50},  // kOther
  }};
};

// Counts what a peer does. No clock: time comes with each event.
class FloodGuard {
 public:
  FloodGuard(const Limits& limits, io::TimePoint now);

  // Takes one token; false when there is none left.
  bool allow(Flood kind, io::TimePoint now);
  // Adds to a bucket, up to its burst.
  void earn(Flood kind, double tokens);

 private:
  struct Bucket {
    Rate rate;
    double tokens = 0;
    io::TimePoint filled_at{};
  };
  std::array<Bucket, kFloodCount> buckets_;
};

}  // namespace mesh::h2
