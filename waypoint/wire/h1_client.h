#pragma once
// Http1Client: HTTP/1.1 as we ask: one connection, one request after the other.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "mesh/h1/parser.h"
#include "waypoint/wire/stream.h"
#include "waypoint/wire/wire.h"

namespace mesh::waypoint::wire {

// Owns its wire. Threads: those of its ring.
class Http1Client {
 public:
  Http1Client(std::unique_ptr<Wire> wire, const h1::Limits& limits);

  // Between requests, and as far as is known still good for another.
  bool reusable() const;
  // Begins an exchange; one at a time. The stream borrows this; when it is gone, `done` is called,
  // which may destroy this.
  std::unique_ptr<ClientStream> begin(std::move_only_function<void()> done = {});
  std::uint64_t requests() const { return requests_; }
  // Ends the connection as well as it can be ended: after whole exchanges with our end of stream
  // and the peer's, so that nobody takes it for cut off; else it is reset when this goes. At most
  // once, between exchanges; the caller sets a deadline.
  io::Task<Result<Done>> close();

 private:
  class Stream;

  std::unique_ptr<Wire> wire_;
  h1::Parser parser_;
  tls::Slice rest_;
  std::uint64_t requests_ = 0;
  bool busy_ = false;
  bool spent_ = false;   // whole, but not for another request
  bool broken_ = false;  // reset
};

}  // namespace mesh::waypoint::wire
