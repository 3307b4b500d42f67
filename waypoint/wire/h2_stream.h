#pragma once
// Streams of an Http2Session, and what they share with it. Internal to waypoint/http.

#include <optional>
#include <vector>

#include "mesh/io/cancel.h"
#include "mesh/io/event.h"
#include "waypoint/wire/h2_session.h"

namespace mesh::waypoint::wire {

struct Http2State {
  Http2State(io::Ring& ring, Http2Session& of, h2::StreamId stream)
      : session(&of), id(stream), readable(ring), writable(ring) {}

  Http2Session* session;  // null when the session is gone, or the stream is over
  h2::StreamId id;

  std::vector<tls::Slice> received{};
  std::size_t taken = 0;  // of `received`
  bool ended = false;     // the peer's END_STREAM came
  bool finished = false;  // ours is on its way
  std::optional<Error> failure{};
  std::optional<h2::ErrorCode> reset_code{};

  h2::Headers head{};  // the request, or the final response
  bool has_head = false;
  bool too_large = false;  // of `head` the rest is missing
  std::vector<Response> interims{};
  h2::Headers trailers{};
  std::optional<std::uint64_t> expected{};  // content-length of what is received
  std::uint64_t seen = 0;
  bool bodiless = false;  // a response to HEAD: its content-length says nothing
  bool heard = false;

  io::internal::WaitList readable;
  io::internal::WaitList writable;
  io::CancelScope* handler = nullptr;

  bool unread() const { return taken < received.size(); }
  void fail(const Error& error) noexcept;
  tls::Slice take();
  io::Task<Result<tls::Slice>> read();
  io::Task<Result<Done>> write(std::span<const std::byte> bytes);
  Result<Done> finish(const h2::Headers& trailers);
  h2::Headers take_trailers();  // those that may come after a body
  void reset(h2::ErrorCode code);
};

class Http2ServerStream final : public ServerStream {
 public:
  explicit Http2ServerStream(std::shared_ptr<Http2State> state) : state_(std::move(state)) {}
  ~Http2ServerStream() override;

  // What is wrong with the request, if anything; before take_request().
  h1::Fault understand();

  Version version() const override { return Version::kHttp2; }
  Request take_request() override { return std::move(request_); }
  io::Task<Result<tls::Slice>> read() override { return state_->read(); }
  bool request_ended() const override { return state_->ended && !state_->unread(); }
  h2::Headers take_trailers() override { return state_->take_trailers(); }
  io::Task<Result<Done>> respond_interim(const Response& response) override;
  io::Task<Result<Done>> respond(Response response, bool end) override;
  io::Task<Result<Done>> write(std::span<const std::byte> bytes) override;
  io::Task<Result<Done>> finish(const h2::Headers& trailers) override;
  void reset(h2::ErrorCode code) override { state_->reset(code); }

 private:
  std::shared_ptr<Http2State> state_;
  Request request_;
  bool is_head_request_ = false;
  std::optional<std::uint64_t> length_left_;
};

class Http2ClientStream final : public ClientStream {
 public:
  Http2ClientStream(Http2Session& session, std::shared_ptr<void> keep)
      : keep_(std::move(keep)), session_(session) {}
  ~Http2ClientStream() override;

  Version version() const override { return Version::kHttp2; }
  io::Task<Result<bool>> takes_upgrades() override;
  io::Task<Result<Done>> send(const Request& request, bool end) override;
  io::Task<Result<Done>> write(std::span<const std::byte> bytes) override;
  io::Task<Result<Done>> finish(const h2::Headers& trailers) override;
  io::Task<Result<Response>> read_head() override;
  io::Task<Result<tls::Slice>> read() override { return state_->read(); }
  bool ended() const override { return state_ && state_->ended && !state_->unread(); }
  h2::Headers take_trailers() override { return state_->take_trailers(); }
  void reset(h2::ErrorCode code) override {
    if (state_) state_->reset(code);
  }
  bool was_refused() const override;
  bool was_stale() const override;

 private:
  std::shared_ptr<void> keep_;
  Http2Session& session_;
  std::shared_ptr<Http2State> state_;
  std::string protocol_;  // asked for by extended CONNECT
};

}  // namespace mesh::waypoint::wire
