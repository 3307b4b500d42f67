#pragma once
// Tunnel: one TLS and HTTP/2 connection on a socket, either role: the coroutines that read and
// write it, its timers, and the streams in it. Internal to mesh/hbone.

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "mesh/base/result.h"
#include "mesh/h2/connection.h"
#include "mesh/hbone/congestion.h"
#include "mesh/hbone/stream_state.h"
#include "mesh/io/event.h"
#include "mesh/io/socket.h"
#include "mesh/io/task.h"
#include "mesh/io/timer.h"
#include "mesh/tls/session.h"

namespace mesh::hbone {

// How long a closing tunnel may take to say its last words, and to wait for the peer's FIN.
inline constexpr io::Duration kCloseDeadline = std::chrono::seconds(1);

struct TunnelOptions {
  h2::Options h2;
  io::Duration idle_limit{};   // without streams for so long: GOAWAY NO_ERROR and close
  io::Duration first_limit{};  // the same before the first one
  CongestionOptions congestion{};
};

class Tunnel final : h2::Events, io::Timer, io::Patience {
 public:
  // `on_request` (server) gets every well-formed CONNECT. `on_idle` is told when a stream ended.
  struct Listener {
    virtual ~Listener() = default;
    virtual void on_request(std::shared_ptr<StreamState> state, h2::Headers headers) = 0;
    virtual void on_stream_over() {}
    // The handshake is over; `session` says who it is. What the peer may take; null: no limit but
    // the tunnel's own. It outlives the tunnel.
    virtual h2::CreditBudget* on_identified(const tls::Session&) { return nullptr; }
    // A request that is no CONNECT, or names no authority, was answered 400.
    virtual void on_refused(const h2::Headers&) {}
  };

  Tunnel(io::Ring& ring, io::Socket socket, std::unique_ptr<tls::Session> session,
         TunnelOptions options, Listener& listener);
  ~Tunnel() override;

  // First handshake(), then run() to the end. The caller sets a deadline on the former; when it
  // fails the peer has been told.
  io::Task<Result<Done>> handshake();
  io::Task<Result<Done>> run();

  const tls::Session& session() const { return *session_; }
  const io::Socket& socket() const { return socket_; }

  // Client. Errors: kDraining, kMalformed.
  Result<std::shared_ptr<StreamState>> request(const h2::Headers& headers);
  // Done when the peer answered a PING. Client.
  io::Task<Result<Done>> probe();
  bool accepts_requests() const;
  std::size_t streams() const { return h2_ ? h2_->streams() : 0; }
  // When the peer was last heard.
  io::TimePoint heard_at() const { return heard_at_; }

  void drain();                  // server: graceful
  void retire();                 // client: no new streams; closes when the last one has ended
  void end(const Error& error);  // streams fail with it now; close_notify

  h2::Connection& h2() { return *h2_; }
  void wake_writer() noexcept;
  io::Ring& ring() { return ring_; }

 private:
  void on_headers(h2::StreamId id, h2::Headers headers, bool end) override;
  void on_data(h2::StreamId id, tls::Slice bytes) override;
  void on_end(h2::StreamId id) override;
  void on_reset(h2::StreamId id, h2::ErrorCode code) override;
  void on_closed(h2::StreamId id) override;
  void on_sent(h2::StreamId id) override;
  void on_goaway(h2::ErrorCode code, h2::StreamId last) override;
  void on_pong() override;
  void on_to_send() override { wake_writer(); }
  std::optional<io::Duration> path_round_trip() override { return socket_.shortest_round_trip(); }
  void on_time() noexcept override;
  bool has_more_to_do() const noexcept override;

  io::Task<Result<Done>> say(std::vector<tls::Piece>& ciphertext);
  io::Task<Result<Done>> tell_and_linger();
  io::Task<void> read_loop();
  io::Task<Result<Done>> read();
  Result<Done> take(io::Buffer buffer);
  Result<Done> take_plaintext();
  void start_requests();
  io::Task<Result<Done>> write();
  void begin_close(const Error& error);
  void fail_streams(const Error& error);
  void drop_rest_of_refused(h2::StreamId id);
  void forget(h2::StreamId id);
  void stream_over();
  void rearm();
  bool is_server() const { return options_.h2.role == h2::Role::kServer; }

  io::Ring& ring_;
  io::Socket socket_;
  std::unique_ptr<tls::Session> session_;
  TunnelOptions options_;
  Listener& listener_;
  Congestion congestion_;
  std::unique_ptr<h2::Connection> h2_;  // from the end of the handshake on
  std::vector<tls::Slice> plaintext_;
  std::unordered_map<h2::StreamId, std::shared_ptr<StreamState>> states_;

  struct Request {
    std::shared_ptr<StreamState> state;
    h2::Headers headers;
  };
  std::vector<Request> requests_;  // seen while reading, not yet handed on

  io::Event writable_;  // there is something to write
  io::Event read_done_;
  io::internal::WaitList ponged_;
  bool pong_ = false;
  bool closing_ = false;  // write what is left, then close
  bool retired_ = false;
  std::optional<Error> ended_by_;
  io::TimePoint close_by_{};
  io::TimePoint heard_at_;
  io::TimePoint armed_for_ = io::TimePoint::max();
  io::TimePoint opened_at_{};               // the last stream
  std::optional<io::TimePoint> idle_at_{};  // close then, unless a stream comes
};

}  // namespace mesh::hbone
