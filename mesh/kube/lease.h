#pragma once
// Lease: who of several replicas is the one that writes, as a state machine without I/O. What the
// server answered goes in, what to ask next and when comes out.
//
// The holder renews the Lease object; others take it when it has not changed for its duration by
// their own clock (the times written in it are never compared with a clock of ours: it may be an
// hour off). A holder that could not renew for `deadline` after it last asked counts itself out,
// which is before anybody may take the Lease: two never hold it at once.

#include <chrono>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>

#include "mesh/kube/frames.h"
#include "mesh/kube/http.h"
#include "mesh/kube/write.h"

namespace mesh::kube {

class Lease {
 public:
  using Time = std::chrono::steady_clock::time_point;

  struct Options {
    std::string ns, name;
    std::string identity;  // of this process: never used by another, not even after a restart
    std::chrono::seconds duration{15};
    std::chrono::seconds deadline{10};  // shorter than `duration`
    std::chrono::seconds retry{2};
  };

  explicit Lease(Options options);

  // The request to make now; none while one is open, or before wake(). `unix_microseconds` is what
  // is written as the time of renewal, for people to read.
  std::optional<HttpRequest> next(Time now, std::int64_t unix_microseconds);
  Time wake() const { return wake_; }
  void answer(const std::expected<std::string, Status>& answer, Time now);

  // We may write until then. Default: we may not.
  Time held_until() const { return held_until_; }
  bool held(Time now) const { return now < held_until_; }

  // Gives the Lease back so that nobody has to wait for its end: held() is false at once, and what
  // is returned is to be sent, if anything is. Nothing else comes from here afterwards.
  std::optional<HttpRequest> release();

  const std::string& holder() const { return holder_; }    // as last seen; may be somebody else
  const std::string& problem() const { return problem_; }  // empty once something succeeded
  std::uint64_t failures() const { return failures_; }

 private:
  enum class Ask : std::uint8_t { kRead, kCreate, kTake };

  HttpRequest write(std::int64_t unix_microseconds);
  void take_in(const std::string& body, Time now);
  void refused(const Status& status, Time now);
  Target target() const;

  const Options options_;
  Ask ask_ = Ask::kRead;
  bool open_ = false;
  bool released_ = false;
  Time wake_{};
  Time asked_{};
  Time held_until_{};
  // The Lease as last seen, and since when it is so by our own clock.
  std::string version_, holder_, problem_;
  std::chrono::seconds their_duration_{};
  std::uint64_t transitions_ = 0;
  Time seen_{};
  std::uint64_t failures_ = 0;
};

}  // namespace mesh::kube
