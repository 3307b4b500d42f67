#pragma once
// One request and its response, whatever version of HTTP carries them: ServerStream as we are
// asked, ClientStream as we ask.
//
// Bodies are never gathered: a read gives what has arrived, a write returns when the next layer has
// taken it. Between the two there is only the caller's one chunk.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "mesh/base/result.h"
#include "mesh/h1/message.h"
#include "mesh/h2/connection.h"
#include "mesh/io/task.h"
#include "mesh/tls/slice.h"
#include "waypoint/http/request.h"

namespace mesh::waypoint::wire {

enum class Version : std::uint8_t { kHttp1, kHttp2 };

using http::Request;

struct Response {
  int status = 0;  // 101 also when HTTP/2 says 2xx to an extended CONNECT
  h2::Headers headers = {};
};

class ServerStream {
 public:
  virtual ~ServerStream() = default;
  virtual Version version() const = 0;
  virtual Request take_request() = 0;  // once

  // The body, at least one byte, or empty at its end; after a 101 whatever comes. Errors:
  // kPeerReset, kPeerClosed, kMalformed, kTooLarge, kTimedOut, kCancelled (nothing is lost).
  virtual io::Task<Result<tls::Slice>> read() = 0;
  virtual bool request_ended() const = 0;  // all of it was read, or there is no body
  virtual h2::Headers take_trailers() = 0;

  virtual io::Task<Result<Done>> respond_interim(const Response& response) = 0;
  virtual io::Task<Result<Done>> respond(Response response, bool end) = 0;
  virtual io::Task<Result<Done>> write(std::span<const std::byte> bytes) = 0;
  virtual io::Task<Result<Done>> finish(const h2::Headers& trailers) = 0;
  virtual bool answered() const { return answered_; }  // respond() was called
  virtual bool finished() const { return finished_; }
  // Tells the client that what it got is not all.
  virtual void reset(h2::ErrorCode code) = 0;

 protected:
  bool answered_ = false;
  bool finished_ = false;
};

class ClientStream {
 public:
  virtual ~ClientStream() = default;  // one that has not ended is reset
  virtual Version version() const = 0;
  // Whether a request with a protocol may be sent here, once that is known. Errors: those of the
  // connection, kTimedOut, kCancelled.
  virtual io::Task<Result<bool>> takes_upgrades() { co_return true; }

  virtual io::Task<Result<Done>> send(const Request& request, bool end) = 0;
  virtual io::Task<Result<Done>> write(std::span<const std::byte> bytes) = 0;
  virtual io::Task<Result<Done>> finish(const h2::Headers& trailers) = 0;

  // The next response: 1xx may come before the final one; ended() tells whether a body follows.
  virtual io::Task<Result<Response>> read_head() = 0;
  virtual io::Task<Result<tls::Slice>> read() = 0;
  virtual bool ended() const = 0;
  virtual h2::Headers take_trailers() = 0;
  virtual void reset(h2::ErrorCode code) = 0;

  // The server says that it did nothing for this request, or the connection, kept from earlier,
  // turned out dead before a byte of the answer came.
  virtual bool was_refused() const = 0;
  virtual bool was_stale() const = 0;
};

// A request that was answered without the handler: it could not be understood.
struct BadRequest {
  int status = 400;
  h1::Fault fault = h1::Fault::kSyntax;
  std::string_view method{}, path{};  // as far as they were understood
  bool grpc = false;
};

class ServerHandler {
 public:
  virtual ~ServerHandler() = default;
  // Runs until the exchange is over; cancelled when the client gives up.
  virtual io::Task<void> on_request(ServerStream& stream) = 0;
  // What it is told: a head, and nothing after it.
  virtual Response on_bad_request(const BadRequest& bad) { return {.status = bad.status}; }
};

// What no version's own rules refuse but no two readers should be asked to agree on. `none`: fine.
h1::Fault check_request(const Request& request);
// The one value of content-length; none when absent; an error when it is not one decimal number
// without zeros in front.
Result<std::optional<std::uint64_t>> content_length(const h2::Headers& headers);

}  // namespace mesh::waypoint::wire
