#pragma once
// Http2Session: one HTTP/2 connection on a wire, either role: the coroutines that read and write
// it, its timers, and the streams in it.

#include <chrono>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "mesh/h2/connection.h"
#include "mesh/io/event.h"
#include "mesh/io/ring.h"
#include "mesh/io/task_scope.h"
#include "mesh/io/timer.h"
#include "waypoint/wire/stream.h"
#include "waypoint/wire/wire.h"

namespace mesh::waypoint::wire {

struct Http2Options {
  h2::Options h2 = for_server();
  io::Duration idle_deadline = std::chrono::hours(1);  // without streams
  // Requests beyond these are refused with REFUSED_STREAM: streams that were reset and whose
  // handlers have not wound up yet count too.
  std::size_t handlers_max = 200;

  static h2::Options for_server();
  static h2::Options for_client();
};

struct Http2State;  // internal: what a stream shares with its session

// Threads: those of its ring. Borrows wire and handler, which outlive run(). Destroy after run().
class Http2Session final : h2::Events, io::Timer {
 public:
  // `handler`: null for the asking side.
  Http2Session(io::Ring& ring, Wire& wire, ServerHandler* handler, Http2Options options);
  ~Http2Session() override;

  // Until the connection is over; every handler is joined. Errors: the wire's, kProtocol, kFlood,
  // kTooLarge, kTimedOut.
  io::Task<Result<Done>> run();

  void drain();   // graceful: GOAWAY, and the end with the last stream
  void retire();  // asking side: no new streams

  // Asking side. `keep` lives as long as the stream: whatever owns this session. Errors: kDraining.
  Result<std::unique_ptr<ClientStream>> open(std::shared_ptr<void> keep);
  bool accepts_requests() const;
  std::size_t streams() const { return h2_.streams(); }
  std::uint32_t peer_max_streams() const { return h2_.peer_max_streams(); }
  // Until the peer has said what it offers. Errors: kPeerReset, kCancelled.
  io::Task<Result<Done>> wait_for_settings();

  static constexpr io::Duration kSettingsWithin = std::chrono::seconds(5);
  static constexpr io::Duration kLinger = std::chrono::seconds(1);
  static constexpr std::size_t kUnsentMax = 128 * 1024;  // of a stream, before its writer waits

 private:
  friend struct Http2State;
  friend class Http2ServerStream;
  friend class Http2ClientStream;

  void on_headers(h2::StreamId id, h2::Headers headers, bool end) override;
  bool on_too_large(h2::StreamId id, h2::Headers headers) override;
  void on_interim(h2::StreamId id, h2::Headers headers) override;
  void on_data(h2::StreamId id, tls::Slice bytes) override;
  void on_end(h2::StreamId id) override;
  void on_reset(h2::StreamId id, h2::ErrorCode code) override;
  void on_closed(h2::StreamId id) override;
  void on_sent(h2::StreamId id) override;
  void on_goaway(h2::ErrorCode code, h2::StreamId last) override;
  void on_settings() override { settings_.set(); }
  void on_time() noexcept override;

  io::Task<void> read_loop();
  io::Task<Result<Done>> read();
  io::Task<Result<Done>> write();
  io::Task<void> handle(std::shared_ptr<Http2State> state);
  void start_requests();
  void begin_close(const Error& error);
  void fail_streams(const Error& error);
  void forget(h2::StreamId id);
  void rearm();
  void wake_writer() noexcept { writable_.set(); }
  Http2State* find(h2::StreamId id);

  io::Ring& ring_;
  Wire& wire_;
  ServerHandler* handler_;
  Http2Options options_;
  h2::Connection h2_;
  io::Event writable_;
  io::Event read_done_;
  io::Event settings_;  // came, or will never come
  std::unordered_map<h2::StreamId, std::shared_ptr<Http2State>> states_;
  std::vector<std::shared_ptr<Http2State>> requests_;  // not yet handed on
  std::unique_ptr<io::TaskScope> handlers_;
  std::optional<Error> ended_by_;
  bool closing_ = false;
  bool retired_ = false;
  bool running_ = false;
  std::optional<io::TimePoint> idle_at_;
  io::TimePoint armed_for_ = io::TimePoint::max();
};

}  // namespace mesh::waypoint::wire
