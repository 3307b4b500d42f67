#pragma once
// Backoff: how long to wait before the next try. Pure; the random number comes from the caller.

#include <cstdint>

#include "mesh/io/ring.h"

namespace mesh::xds {

// 10 ms, doubled with each failure, up to a limit that depends on what failed; the wait is between
// a half of that and all of it. A try that got somewhere starts over at 10 ms.
class Backoff {
 public:
  enum class Outcome : std::uint8_t {
    kProgress,      // it worked for a while: something came, then it ended
    kNoConnection,  // nobody there: at most 4 s, because a try is cheap and peers wait for us
    kRefusedUs,     // somebody there who did not serve us: at most 15 s
  };
  io::Duration next(Outcome outcome, std::uint64_t random);

 private:
  unsigned failures_ = 0;
};

}  // namespace mesh::xds
