#include "waypoint/wire/h2_session.h"

#include <algorithm>
#include <utility>

#include "waypoint/wire/h2_stream.h"

namespace mesh::waypoint::wire {
namespace {

constexpr std::size_t kWriteRoom = 64 * 1024;

}  // namespace

h2::Options Http2Options::for_server() {
  h2::Options options = h2::Options::for_server();
  options.max_concurrent_streams = 100;
  options.max_frame_size = 16384;
  options.extended_connect = true;
  // The tunnel below asks already whether its peer lives.
  options.ping_interval = std::chrono::hours(1);
  return options;
}

h2::Options Http2Options::for_client() {
  h2::Options options = h2::Options::for_client();
  options.max_header_list = 65536;
  options.max_frame_size = 16384;
  options.ping_interval = std::chrono::hours(1);
  return options;
}

Http2Session::Http2Session(io::Ring& ring, Wire& wire, ServerHandler* handler, Http2Options options)
    : io::Timer(ring),
      ring_(ring),
      wire_(wire),
      handler_(handler),
      options_(std::move(options)),
      h2_(options_.h2, static_cast<h2::Events&>(*this), ring.now()),
      writable_(ring),
      read_done_(ring),
      settings_(ring) {}

Http2Session::~Http2Session() {
  for (auto& [id, state] : states_) state->session = nullptr;
}

Http2State* Http2Session::find(h2::StreamId id) {
  const auto found = states_.find(id);
  return found == states_.end() ? nullptr : found->second.get();
}

// ---- the life of the connection ----

io::Task<Result<Done>> Http2Session::run() {
  running_ = true;
  handlers_ = std::make_unique<io::TaskScope>(co_await io::current_cancel());
  idle_at_ = ring_.now() + options_.idle_deadline;
  rearm();
  io::TaskScope reader(co_await io::current_cancel());
  reader.spawn(read_loop());
  const auto written = co_await write();
  if (!written) {
    if (!ended_by_) ended_by_ = written.error();
    wire_.reset();
  }
  closing_ = true;
  fail_streams(ended_by_.value_or(Error{.reason = Reason::kPeerReset, .during = "http/2"}));
  if (written) (void)co_await io::with_deadline(ring_, kLinger, "close", read_done_.wait());
  reader.cancel();
  co_await reader.join();
  disarm();
  h2_.transport_ended();
  co_await handlers_->join();
  handlers_.reset();  // it is nested in our caller's
  if (ended_by_) co_return std::unexpected(*ended_by_);
  co_return Done{};
}

io::Task<void> Http2Session::read_loop() {
  const auto end = co_await read();
  if (!end) {
    begin_close(end.error());
    // The peer shall read why: a wire that goes with bytes unread takes our last words along.
    (void)co_await linger(wire_, 1 << 20);
  }
  read_done_.set();
}

io::Task<Result<Done>> Http2Session::read() {
  while (!closing_) {
    CO_TRY(const tls::Slice bytes, co_await wire_.recv());
    if (bytes.empty()) break;
    const auto taken = h2_.receive(bytes, ring_.now());
    start_requests();
    if (!taken) co_return taken;
    if (h2_.next_deadline() < armed_for_) rearm();  // a header block has begun
    if (h2_.wants_to_send() || h2_.finished()) writable_.set();
  }
  if (!closing_) {
    if (!states_.empty() || h2_.streams() > 0) {
      co_return failed(Reason::kPeerReset, "http/2 connection closed by the peer");
    }
    closing_ = true;
    writable_.set();
    co_return Done{};
  }
  co_return co_await linger(wire_, 1 << 20);
}

io::Task<Result<Done>> Http2Session::write() {
  std::vector<tls::Piece> pieces;
  for (;;) {
    writable_.reset();
    h2_.produce(pieces, kWriteRoom);
    if (h2_.failure()) begin_close(*h2_.failure());
    if (!pieces.empty()) {
      for (tls::Piece& piece : pieces) CO_TRY_DO(co_await wire_.send_piece(std::move(piece)));
      pieces.clear();
      continue;
    }
    if (closing_ || h2_.finished()) break;
    CO_TRY_DO(co_await writable_.wait());
  }
  closing_ = true;
  co_return wire_.finish_sending();
}

// What is queued for control (a GOAWAY) is still written; streams end now.
void Http2Session::begin_close(const Error& error) {
  if (!ended_by_) ended_by_ = error;
  fail_streams(*ended_by_);
  if (!std::exchange(closing_, true)) writable_.set();
}

void Http2Session::fail_streams(const Error& error) {
  settings_.set();
  auto states = std::exchange(states_, {});
  for (auto& [id, state] : states) {
    state->session = nullptr;
    state->fail(error);
  }
}

void Http2Session::drain() {
  if (handler_ == nullptr) return retire();
  h2_.drain();
  wake_writer();
}

void Http2Session::retire() {
  retired_ = true;
  if (h2_.streams() > 0) return;
  h2_.go_away(h2::ErrorCode::kNoError);
  wake_writer();
}

void Http2Session::rearm() {
  io::TimePoint next = h2_.next_deadline();
  if (idle_at_) next = std::min(next, *idle_at_);
  armed_for_ = next;
  arm(next);
}

void Http2Session::on_time() noexcept {
  if (closing_) return;
  const auto alive = h2_.on_deadline(ring_.now());
  if (!alive) return begin_close(alive.error());
  if (idle_at_ && ring_.now() >= *idle_at_) {
    idle_at_.reset();
    h2_.go_away(h2::ErrorCode::kNoError);
  }
  wake_writer();
  rearm();
}

// ---- requests ----

// Handlers run outside of the HTTP/2 library's callbacks.
void Http2Session::start_requests() {
  while (!requests_.empty()) {
    auto batch = std::exchange(requests_, {});
    for (auto& state : batch) {
      if (state->failure) continue;  // reset in the same breath
      if (handlers_->size() >= options_.handlers_max) {
        state->reset(h2::ErrorCode::kRefusedStream);
        continue;
      }
      handlers_->spawn(handle(std::move(state)));
    }
  }
}

io::Task<void> Http2Session::handle(std::shared_ptr<Http2State> state) {
  Http2ServerStream stream(state);
  h1::Fault fault = stream.understand();
  if (state->too_large) fault = h1::Fault::kHeadersTooLarge;
  if (fault != h1::Fault::kNone) {
    const Request request = stream.take_request();
    Response response = handler_->on_bad_request({.status = h1::status_of(fault),
                                                  .fault = fault,
                                                  .method = request.method,
                                                  .path = request.path,
                                                  .grpc = http::is_grpc(request.headers)});
    (void)co_await stream.respond(std::move(response), true);
    co_return;
  }
  io::CancelScope scope(co_await io::current_cancel());
  state->handler = &scope;
  if (!state->failure) co_await handler_->on_request(stream).under(scope);
  state->handler = nullptr;
}

Result<std::unique_ptr<ClientStream>> Http2Session::open(std::shared_ptr<void> keep) {
  if (!accepts_requests()) return failed(Reason::kDraining, "http/2 connection");
  return std::make_unique<Http2ClientStream>(*this, std::move(keep));
}

io::Task<Result<Done>> Http2Session::wait_for_settings() {
  CO_TRY_DO(co_await settings_.wait());
  if (closing_) co_return failed(Reason::kPeerReset, "http/2 connection");
  co_return Done{};
}

bool Http2Session::accepts_requests() const {
  return !closing_ && !retired_ && h2_.accepts_requests();
}

// ---- what HTTP/2 says ----

void Http2Session::on_headers(h2::StreamId id, h2::Headers headers, bool) {
  if (Http2State* state = find(id)) {
    state->heard = true;
    if (state->has_head) {
      state->trailers = std::move(headers);
      return;
    }
    state->has_head = true;
    state->head = std::move(headers);
    const auto length = content_length(state->head);
    if (!length) return state->reset(h2::ErrorCode::kProtocolError);
    if (!state->bodiless && h2::status_of(state->head) != 304) state->expected = *length;
    state->readable.wake_all();
    return;
  }
  if (handler_ == nullptr) return;
  idle_at_.reset();
  auto state = std::make_shared<Http2State>(ring_, *this, id);
  state->has_head = true;
  state->head = std::move(headers);
  states_.emplace(id, state);
  const auto length = content_length(state->head);
  if (!length) return state->reset(h2::ErrorCode::kProtocolError);
  state->expected = *length;
  requests_.push_back(std::move(state));
}

bool Http2Session::on_too_large(h2::StreamId id, h2::Headers headers) {
  if (handler_ == nullptr) return false;
  idle_at_.reset();
  auto state = std::make_shared<Http2State>(ring_, *this, id);
  state->has_head = state->too_large = true;
  state->head = std::move(headers);
  states_.emplace(id, state);
  requests_.push_back(std::move(state));
  return true;
}

void Http2Session::on_interim(h2::StreamId id, h2::Headers headers) {
  Http2State* state = find(id);
  if (state == nullptr) return;
  state->heard = true;
  Response response{.status = h2::status_of(headers), .headers = {}};
  std::erase_if(headers, [](const h2::Header& header) { return header.name == ":status"; });
  response.headers = std::move(headers);
  state->interims.push_back(std::move(response));
  state->readable.wake_all();
}

void Http2Session::on_data(h2::StreamId id, tls::Slice bytes) {
  Http2State* state = find(id);
  if (state == nullptr) {
    h2_.consumed(id, bytes.size());
    return;
  }
  state->seen += bytes.size();
  if (state->expected && state->seen > *state->expected) {
    return state->reset(h2::ErrorCode::kProtocolError);
  }
  constexpr std::size_t kCopyBelow = 4096;
  if (bytes.size() < kCopyBelow) bytes = tls::Slice::copy_of(bytes.bytes());
  state->received.push_back(std::move(bytes));
  state->readable.wake_all();
}

void Http2Session::on_end(h2::StreamId id) {
  Http2State* state = find(id);
  if (state == nullptr) return;
  if (state->expected && state->seen != *state->expected) {
    return state->reset(h2::ErrorCode::kProtocolError);
  }
  state->ended = true;
  state->readable.wake_all();
}

void Http2Session::on_reset(h2::StreamId id, h2::ErrorCode code) {
  if (const auto found = states_.find(id); found != states_.end()) {
    const std::shared_ptr<Http2State> state = found->second;
    state->reset_code = code;
    // An answer that is whole, to a request that nobody wants the rest of, is no failure.
    const bool answered = handler_ == nullptr && state->ended && code == h2::ErrorCode::kNoError;
    forget(id);
    if (!answered) state->fail({.reason = Reason::kPeerReset, .during = "http/2 stream reset"});
  }
  forget(id);
}

void Http2Session::on_closed(h2::StreamId id) { forget(id); }

// Called while HTTP/2 still counts the stream.
void Http2Session::forget(h2::StreamId id) {
  const auto found = states_.find(id);
  if (found != states_.end()) {
    found->second->session = nullptr;
    states_.erase(found);
  }
  if (closing_ || h2_.streams() > 1 || !states_.empty()) return;
  if (retired_) {
    h2_.go_away(h2::ErrorCode::kNoError);
    wake_writer();
    return;
  }
  idle_at_ = ring_.now() + options_.idle_deadline;
  rearm();
}

void Http2Session::on_sent(h2::StreamId id) {
  if (Http2State* state = find(id)) state->writable.wake_all();
}

void Http2Session::on_goaway(h2::ErrorCode, h2::StreamId) { writable_.set(); }

}  // namespace mesh::waypoint::wire
