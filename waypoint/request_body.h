#pragma once
// RequestBody: carries a request's body from the client to one endpoint after the other: what has
// passed is kept for the next try as long as it is little.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "waypoint/stream_clock.h"
#include "waypoint/wire/stream.h"

namespace mesh::waypoint {

class RequestBody {
 public:
  // `keep_max`: bytes that are kept; 0: none, there will be one try. `clock` hears of what moves.
  RequestBody(wire::ServerStream& from, StreamClock& clock, std::size_t keep_max)
      : from_(from), clock_(clock), keep_max_(keep_max) {}

  // Nothing has come and nothing will.
  bool none() const { return from_.request_ended() && bytes_ == 0; }
  // Another try would see the same bytes.
  bool replayable() const { return !dropped_; }
  bool ended() const { return ended_ || none(); }
  // What has come, while it is replayable().
  std::string kept() const;
  std::uint64_t bytes() const { return bytes_; }
  // Why the client's side failed, if it did.
  const std::optional<Error>& client_failure() const { return client_failure_; }

  // Sends what was kept, then what comes, then the end. Errors: of either side; client_failure()
  // tells which. `at_end` is called once, when the client has sent all of it.
  io::Task<Result<Done>> pump(wire::ClientStream& to, std::function<void()> at_end);
  // After an upgrade: bytes, until the client ends.
  io::Task<Result<Done>> pump_raw(wire::ClientStream& to);

 private:
  void keep(const tls::Slice& part);

  wire::ServerStream& from_;
  StreamClock& clock_;
  std::size_t keep_max_;
  std::vector<tls::Slice> kept_;
  std::size_t kept_bytes_ = 0;
  bool dropped_ = false;
  bool ended_ = false;
  h2::Headers trailers_;
  std::uint64_t bytes_ = 0;
  std::optional<Error> client_failure_;
};

}  // namespace mesh::waypoint
