#include "mesh/hbone/tunnel.h"

#include <algorithm>
#include <utility>

#include "mesh/base/check.h"

namespace mesh::hbone {
namespace {

// How much is framed, sealed and handed to the kernel at once: the bulk that one receive brought.
constexpr std::size_t kWriteRoom = 30 * std::size_t{16384};

std::size_t size_of(const std::vector<tls::Piece>& pieces) {
  std::size_t size = 0;
  for (const tls::Piece& piece : pieces) size += piece.size();
  return size;
}

io::Task<Result<Done>> send_pieces(io::Socket& socket, const std::vector<tls::Piece>& pieces,
                                   const io::Patience* patience = nullptr) {
  if (pieces.size() == 1) co_return co_await socket.send_all(pieces[0].bytes(), patience);
  std::vector<std::span<const std::byte>> list;
  list.reserve(pieces.size());
  for (const tls::Piece& piece : pieces) list.push_back(piece.bytes());
  co_return co_await socket.send_all(std::span<const std::span<const std::byte>>(list), patience);
}

}  // namespace

Tunnel::Tunnel(io::Ring& ring, io::Socket socket, std::unique_ptr<tls::Session> session,
               TunnelOptions options, Listener& listener)
    : io::Timer(ring),
      ring_(ring),
      socket_(std::move(socket)),
      session_(std::move(session)),
      options_(std::move(options)),
      listener_(listener),
      congestion_(options_.congestion),
      writable_(ring),
      read_done_(ring),
      ponged_(ring),
      heard_at_(ring.now()) {}

Tunnel::~Tunnel() {
  for (auto& [id, state] : states_) state->tunnel = nullptr;
}

// ---- the handshake ----

io::Task<Result<Done>> Tunnel::say(std::vector<tls::Piece>& ciphertext) {
  session_->take_output(ciphertext);
  if (ciphertext.empty()) co_return Done{};
  const auto sent = co_await send_pieces(socket_, ciphertext);
  ciphertext.clear();
  co_return sent;
}

// The peer shall read why: closing a socket with unread bytes would reset it and lose the alert.
io::Task<Result<Done>> Tunnel::tell_and_linger() {
  std::vector<tls::Piece> alert;
  CO_TRY_DO(co_await say(alert));
  CO_TRY_DO(socket_.finish_sending());
  for (;;) {
    CO_TRY(const io::Buffer ignored, co_await socket_.recv_buffer(io::BufferClass::kWire));
    if (ignored.empty()) co_return Done{};
  }
}

io::Task<Result<Done>> Tunnel::handshake() {
  std::vector<tls::Piece> ciphertext;
  while (session_->state() == tls::Session::State::kHandshake) {
    CO_TRY_DO(co_await say(ciphertext));
    CO_TRY(io::Buffer buffer, co_await socket_.recv_buffer(io::BufferClass::kWire));
    if (buffer.empty()) co_return failed(Reason::kPeerClosed, "tls handshake");
    const auto fed = session_->feed(tls::Slice(std::move(buffer)), plaintext_);
    if (!fed) {
      (void)co_await io::with_deadline(ring_, kCloseDeadline, "tls handshake", tell_and_linger());
      co_return std::unexpected(fed.error());
    }
  }
  heard_at_ = ring_.now();
  if (h2::CreditBudget* budget = listener_.on_identified(*session_)) options_.h2.budget = budget;
  h2_ = std::make_unique<h2::Connection>(options_.h2, static_cast<h2::Events&>(*this), ring_.now());
  co_return co_await say(ciphertext);
}

// ---- the life of the tunnel ----

io::Task<Result<Done>> Tunnel::run() {
  stream_over();  // none yet: the idle clock starts
  io::TaskScope reader(co_await io::current_cancel());
  reader.spawn(read_loop());
  const auto written = co_await write();
  if (!written) {
    if (!ended_by_) ended_by_ = written.error();
    socket_.reset();
  }
  closing_ = true;
  fail_streams(ended_by_.value_or(Error{.reason = Reason::kDraining, .during = "tunnel"}));
  // After our FIN the peer's is awaited, so that a reset does not overtake our last words.
  if (written) {
    (void)co_await io::with_deadline(ring_, kCloseDeadline, "close", read_done_.wait());
  }
  reader.cancel();
  co_await reader.join();
  disarm();
  h2_->transport_ended();
  if (ended_by_) co_return std::unexpected(*ended_by_);
  co_return Done{};
}

io::Task<void> Tunnel::read_loop() {
  const auto end = co_await read();
  if (!end) begin_close(end.error());
  read_done_.set();
}

io::Task<Result<Done>> Tunnel::read() {
  CO_TRY_DO(take_plaintext());  // what came with the handshake
  while (!closing_ && session_->state() != tls::Session::State::kPeerClosed) {
    CO_TRY(io::Buffer buffer, co_await socket_.next_buffer(io::BufferClass::kWire));
    if (buffer.empty()) break;
    CO_TRY_DO(take(std::move(buffer)));
  }
  if (!closing_) {
    // The peer has closed. With streams open that is no good end, close_notify or not.
    if (states_.empty() && h2_->streams() == 0) {
      closing_ = true;
      rearm();
      writable_.set();
    } else {
      co_return failed(Reason::kPeerReset, "tunnel closed by the peer");
    }
  }
  for (;;) {
    CO_TRY(const io::Buffer ignored, co_await socket_.recv_buffer(io::BufferClass::kWire));
    if (ignored.empty()) co_return Done{};
  }
}

// All that has been received: a record that lies across two buffers is then opened in them.
Result<Done> Tunnel::take(io::Buffer buffer) {
  heard_at_ = ring_.now();
  for (std::optional<io::Buffer> next = std::move(buffer); next && !closing_;) {
    tls::Slice wire(*std::move(next));
    next = socket_.take_ready();
    const auto follows = next ? tls::Session::Next::kFollows : tls::Session::Next::kUnknown;
    const auto fed = session_->feed(std::move(wire), plaintext_, follows);
    TRY_DO(take_plaintext());
    if (!fed) return fed;
  }
  return Done{};
}

Result<Done> Tunnel::take_plaintext() {
  Result<Done> result = Done{};
  for (const tls::Slice& slice : plaintext_) {
    result = h2_->receive(slice, ring_.now());
    if (!result) break;
  }
  plaintext_.clear();
  start_requests();
  if (!closing_ && h2_->next_deadline() < armed_for_)
    rearm();  // a PING was answered, headers began
  if (session_->has_output() || h2_->wants_to_send() || h2_->finished()) writable_.set();
  return result;
}

// Handlers run outside of the HTTP/2 library's callbacks.
void Tunnel::start_requests() {
  while (!requests_.empty()) {
    std::vector<Request> batch = std::exchange(requests_, {});
    for (Request& request : batch) {
      if (request.state->failure) continue;  // reset in the same breath
      listener_.on_request(std::move(request.state), std::move(request.headers));
    }
  }
}

io::Task<Result<Done>> Tunnel::write() {
  std::vector<tls::Piece> plain;
  std::vector<tls::Piece> sealed;
  for (;;) {
    writable_.reset();
    session_->take_output(sealed);
    h2_->produce(plain, kWriteRoom);
    for (tls::Piece& piece : plain) {
      if (!session_->seal(std::move(piece), sealed)) break;
    }
    plain.clear();
    if (h2_->failure()) begin_close(*h2_->failure());
    if (!sealed.empty()) {
      congestion_.before_sending(socket_, size_of(sealed), ring_.now());
      const auto sent = co_await send_pieces(socket_, sealed, this);
      sealed.clear();
      if (!sent) co_return sent;
      continue;
    }
    if (closing_ || h2_->finished()) break;
    CO_TRY_DO(co_await writable_.wait());
  }
  closing_ = true;
  rearm();
  session_->close_notify();
  CO_TRY_DO(co_await say(sealed));
  (void)socket_.finish_sending();
  co_return Done{};
}

void Tunnel::wake_writer() noexcept { writable_.set(); }

// Of the writer, once what it has sealed is sent.
bool Tunnel::has_more_to_do() const noexcept {
  return writable_.is_set() || closing_ || session_->has_output() || h2_->wants_to_send() ||
         h2_->finished() || h2_->failure();
}

// ---- ends ----

// What is queued for control (GOAWAY, alert, close_notify) is still written; streams end now.
void Tunnel::begin_close(const Error& error) {
  if (!ended_by_) ended_by_ = error;
  fail_streams(*ended_by_);
  if (!std::exchange(closing_, true)) {
    rearm();
    writable_.set();
  }
}

void Tunnel::fail_streams(const Error& error) {
  auto states = std::exchange(states_, {});
  for (auto& [id, state] : states) {
    state->tunnel = nullptr;
    state->fail(error);
  }
}

void Tunnel::drain() {
  if (!h2_ || closing_) return;
  h2_->drain();
  wake_writer();
}

void Tunnel::retire() {
  retired_ = true;
  if (!h2_ || closing_ || h2_->streams() > 0) return;
  h2_->go_away(h2::ErrorCode::kNoError);
  wake_writer();
}

void Tunnel::end(const Error& error) {
  if (!h2_) {
    socket_.reset();  // in the handshake still
    return;
  }
  begin_close(error);
}

// ---- client ----

bool Tunnel::accepts_requests() const {
  return h2_ && !closing_ && !retired_ && h2_->accepts_requests();
}

Result<std::shared_ptr<StreamState>> Tunnel::request(const h2::Headers& headers) {
  if (!accepts_requests()) return failed(Reason::kDraining, "tunnel");
  TRY(const h2::StreamId id, h2_->request(headers, false));
  auto state = std::make_shared<StreamState>(ring_, *this, id);
  states_.emplace(id, state);
  opened_at_ = ring_.now();
  idle_at_.reset();
  wake_writer();
  return state;
}

io::Task<Result<Done>> Tunnel::probe() {
  pong_ = false;
  h2_->ping(ring_.now());
  wake_writer();
  while (!pong_) {
    if (closing_) co_return failed(Reason::kPeerReset, "tunnel");
    if (!co_await ponged_.wait()) co_return failed(Reason::kCancelled, "probe of the tunnel");
  }
  co_return Done{};
}

// ---- timers ----

void Tunnel::rearm() {
  if (closing_) {
    if (close_by_ == io::TimePoint{}) close_by_ = ring_.now() + kCloseDeadline;
    arm(close_by_);
    return;
  }
  if (!h2_) return;
  io::TimePoint next = h2_->next_deadline();
  if (idle_at_) next = std::min(next, *idle_at_);
  armed_for_ = next;
  arm(next);
}

void Tunnel::on_time() noexcept {
  if (closing_) {
    socket_.reset();
    return;
  }
  const auto alive = h2_->on_deadline(ring_.now());
  if (!alive) {
    begin_close(alive.error());
    return;
  }
  if (idle_at_ && ring_.now() >= *idle_at_) {
    idle_at_.reset();
    h2_->go_away(h2::ErrorCode::kNoError);
  }
  wake_writer();
  rearm();
}

// ---- what HTTP/2 says ----

void Tunnel::on_headers(h2::StreamId id, h2::Headers headers, bool) {
  const auto found = states_.find(id);
  if (!is_server()) {
    if (found == states_.end() || found->second->has_response) return;  // trailers
    found->second->has_response = true;
    found->second->response = std::move(headers);
    found->second->answered.wake_all();
    return;
  }
  if (found != states_.end()) return;  // trailers
  idle_at_.reset();
  opened_at_ = ring_.now();
  if (h2::method_of(headers) != "CONNECT" || !h2::find_header(headers, ":authority")) {
    if (h2_->respond(id, {{":status", "400"}}, true)) {
      listener_.on_refused(headers);
    } else {
      drop_rest_of_refused(id);  // its trailers
    }
    return;
  }
  auto state = std::make_shared<StreamState>(ring_, *this, id);
  states_.emplace(id, state);
  requests_.push_back({.state = std::move(state), .headers = std::move(headers)});
}

// RFC 9113 section 8.1: an answered request whose rest nobody reads. Its end alone is no rest.
void Tunnel::drop_rest_of_refused(h2::StreamId id) {
  if (is_server()) h2_->reset(id, h2::ErrorCode::kNoError);
}

void Tunnel::on_data(h2::StreamId id, tls::Slice bytes) {
  const auto found = states_.find(id);
  if (found == states_.end()) {
    h2_->consumed(id, bytes.size());
    if (!bytes.empty()) drop_rest_of_refused(id);
    return;
  }
  found->second->push(std::move(bytes));
}

void Tunnel::on_end(h2::StreamId id) {
  const auto found = states_.find(id);
  if (found == states_.end()) return;
  found->second->ended = true;
  found->second->readable.wake_all();
}

void Tunnel::on_reset(h2::StreamId id, h2::ErrorCode code) {
  const auto found = states_.find(id);
  if (found != states_.end()) {
    const std::shared_ptr<StreamState> state = found->second;
    state->reset_code = code;
    state->fail({.reason = Reason::kPeerReset, .during = "stream reset by the peer"});
    forget(id);
  }
  stream_over();
}

void Tunnel::on_closed(h2::StreamId id) {
  forget(id);
  stream_over();
}

void Tunnel::forget(h2::StreamId id) {
  const auto found = states_.find(id);
  if (found == states_.end()) return;
  found->second->tunnel = nullptr;
  states_.erase(found);
}

// Called while HTTP/2 still counts the stream that is over.
void Tunnel::stream_over() {
  if (!h2_ || closing_) return;
  listener_.on_stream_over();
  if (h2_->streams() > 1 || !states_.empty()) return;
  const io::TimePoint now = ring_.now();
  const bool busy_past_the_limit =
      opened_at_ != io::TimePoint{} && now - opened_at_ >= options_.idle_limit;
  if (retired_ || (busy_past_the_limit && !is_server())) {
    h2_->go_away(h2::ErrorCode::kNoError);
    wake_writer();
    return;
  }
  idle_at_ = now + (opened_at_ == io::TimePoint{} ? options_.first_limit : options_.idle_limit);
  rearm();
}

void Tunnel::on_sent(h2::StreamId id) {
  const auto found = states_.find(id);
  if (found != states_.end()) found->second->writable.wake_all();
}

void Tunnel::on_goaway(h2::ErrorCode, h2::StreamId) { listener_.on_stream_over(); }

void Tunnel::on_pong() {
  pong_ = true;
  ponged_.wake_all();
}

}  // namespace mesh::hbone
