#pragma once
// Which congestion control the sending side of a tunnel has: each end decides for itself.
//
// BBR, some systems' default, holds every segment back by a timer. On a path within a data centre
// that is the largest single cost of a tunnel's bulk, and finds out nothing: see
// docs/decisions/0006-tunnels-that-do-not-pace.md.

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "mesh/base/result.h"
#include "mesh/io/ring.h"
#include "mesh/io/socket.h"

namespace mesh::hbone {

struct CongestionOptions {
  // What a tunnel's socket, or the listener for tunnels, is made with; empty: the system's own.
  std::string at_first{};
  // The system's own once the path proves long.
  bool by_path = false;

  // "auto": where the system's own is BBR, a tunnel begins with one that does not pace, and goes
  // over to the system's own unless its path is short. "system", or the name of an algorithm: that,
  // always. Errors: kMalformed: this kernel has, or lets us have, none of that name.
  static Result<CongestionOptions> parse(std::string_view text);
};

// Of one tunnel. The way back does not exist: a socket that BBR has paced once is paced by the
// kernel for ever, whatever it is told. Hence a start without.
class Congestion {
 public:
  // What may be sent before the path is looked at. TCP's first window is less; by then there have
  // been several round trips to measure.
  static constexpr std::size_t kUnseen = 65536;
  // A path with a shorter round trip is one within a data centre.
  static constexpr io::Duration kShort = std::chrono::milliseconds(1);
  // Paths change; the kernel forgets its shortest round trip after five minutes.
  static constexpr io::Duration kLookAgain = std::chrono::minutes(1);

  explicit Congestion(const CongestionOptions& options) : undecided_(options.by_path) {}

  // Before `bytes` more are handed to the kernel.
  void before_sending(io::Socket& socket, std::size_t bytes, io::TimePoint now) {
    if (!undecided_) return;
    sent_ += bytes;
    if (sent_ > kUnseen && now >= look_at_) look(socket, now);
  }

 private:
  void look(io::Socket& socket, io::TimePoint now);

  bool undecided_;
  std::size_t sent_ = 0;
  io::TimePoint look_at_{};
};

}  // namespace mesh::hbone
