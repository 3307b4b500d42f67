#pragma once
// Http1Server: HTTP/1.1 as we are asked: one connection, one request after the other.

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "mesh/h1/parser.h"
#include "mesh/io/event.h"
#include "mesh/io/ring.h"
#include "waypoint/wire/stream.h"
#include "waypoint/wire/wire.h"

namespace mesh::waypoint::wire {

struct Http1ServerOptions {
  h1::Limits limits{};
  io::Duration idle_deadline = std::chrono::hours(1);        // between requests
  io::Duration headers_deadline = std::chrono::seconds(60);  // from a head's first byte to its last
};

// Threads: those of its ring. Borrows wire and handler.
class Http1Server final : ServerStream {
 public:
  Http1Server(io::Ring& ring, Wire& wire, ServerHandler& handler, Http1ServerOptions options);

  // Until the connection is over. Errors: the wire's; kMalformed after an answer to a bad request.
  io::Task<Result<Done>> run();
  // The response under way, or the next one, is the last; an idle connection ends now.
  void drain();

  // What of an unread body is dropped to keep the connection.
  static constexpr std::size_t kDrainMax = 64 * 1024;
  static constexpr io::Duration kLinger = std::chrono::seconds(1);

 private:
  enum class Body : std::uint8_t { kNone, kLength, kChunked, kRaw };

  Version version() const override { return Version::kHttp1; }
  Request take_request() override;
  io::Task<Result<tls::Slice>> read() override;
  bool request_ended() const override { return !upgraded_ && input_ended_ && pending_.empty(); }
  h2::Headers take_trailers() override { return parser_.take_trailers(); }
  io::Task<Result<Done>> respond_interim(const Response& response) override;
  io::Task<Result<Done>> respond(Response response, bool end) override;
  io::Task<Result<Done>> write(std::span<const std::byte> bytes) override;
  io::Task<Result<Done>> finish(const h2::Headers& trailers) override;
  void reset(h2::ErrorCode code) override;

  io::Task<Result<bool>> read_head();  // false: the connection ended between requests
  io::Task<Result<tls::Slice>> receive_more();
  Result<bool> take_input();  // true: a head came
  io::Task<Result<Done>> refuse(h1::Fault fault);
  io::Task<Result<Done>> end_connection();
  io::Task<Result<Done>> drop_body();

  io::Ring& ring_;
  Wire& wire_;
  ServerHandler& handler_;
  Http1ServerOptions options_;
  h1::Parser parser_;
  io::CancelScope* idle_ = nullptr;  // while between requests
  bool draining_ = false;

  tls::Slice rest_;                  // received, not parsed
  std::vector<tls::Slice> pending_;  // parts of the body, parsed and not read
  h1::RequestHead head_;
  bool is_head_request_ = false;
  bool input_ended_ = false;
  bool upgraded_ = false;
  bool close_after_ = false;
  Body body_ = Body::kNone;
  std::uint64_t body_left_ = 0;
};

}  // namespace mesh::waypoint::wire
