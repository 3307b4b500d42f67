#include "waypoint/wire/tls_wire.h"

#include <algorithm>
#include <utility>

#include "mesh/io/both.h"

namespace mesh::waypoint::wire {
namespace {

constexpr const char* kDuring = "tls to an endpoint";
constexpr std::size_t kRecordMax = 16384;

io::Task<Result<Done>> wait_for(io::Event& event) { co_return co_await event.wait(); }

}  // namespace

io::Task<Result<std::unique_ptr<Wire>>> TlsWire::connect(
    io::Ring& ring, std::unique_ptr<Wire> below, std::shared_ptr<const tls::Context> context) {
  auto wire = std::make_unique<TlsWire>(ring, std::move(below));
  CO_TRY_DO(co_await wire->shake_hands(std::move(context)));
  co_return wire;
}

io::Task<Result<Done>> TlsWire::shake_hands(std::shared_ptr<const tls::Context> context) {
  tls::SessionOptions options;
  options.now = std::chrono::floor<std::chrono::seconds>(ring_.wall_now());
  CO_TRY(session_, tls::Session::create(std::move(context), std::move(options)));
  for (;;) {
    CO_TRY_DO(co_await flush());
    if (session_->open()) co_return Done{};
    CO_TRY(tls::Slice ciphertext, co_await below_->recv());
    if (ciphertext.empty()) co_return failed(Reason::kTlsHandshake, kDuring);
    CO_TRY_DO(co_await feed(std::move(ciphertext)));
  }
}

// What it answers goes out as soon as nobody else sends; who sends takes it along.
io::Task<Result<Done>> TlsWire::feed(tls::Slice ciphertext) {
  std::vector<tls::Slice> plaintext;
  const auto fed = session_->feed(std::move(ciphertext), plaintext);
  std::ranges::move(plaintext, std::back_inserter(ready_));
  if (session_->has_output() && !sending_) {
    const auto sent = co_await flush();
    if (fed) co_return sent;
  }
  co_return fed;
}

// Empty also when the end of our own direction is asked for meanwhile: look again.
io::Task<Result<tls::Slice>> TlsWire::receive() {
  if (said_goodbye_) co_return co_await below_->recv();
  auto ends = co_await io::first_of(below_->recv(), wait_for(finish_));
  if (!ends.first && ends.first.error().reason == Reason::kCancelled && ends.second) {
    co_return tls::Slice{};
  }
  co_return std::move(ends.first);
}

io::Task<Result<tls::Slice>> TlsWire::recv() {
  for (;;) {
    if (!ready_.empty()) {
      tls::Slice part = std::move(ready_.front());
      ready_.pop_front();
      if (!part.empty()) co_return part;
      continue;
    }
    if (session_->state() == tls::Session::State::kPeerClosed) co_return tls::Slice{};
    if (finish_.is_set() && !std::exchange(said_goodbye_, true)) {
      session_->close_notify();
      CO_TRY_DO(co_await flush());
      CO_TRY_DO(below_->finish_sending());
    }
    CO_TRY(tls::Slice ciphertext, co_await receive());
    if (!ciphertext.empty()) {
      CO_TRY_DO(co_await feed(std::move(ciphertext)));
    } else if (!finish_.is_set() || said_goodbye_) {
      co_return failed(Reason::kPeerReset, kDuring);
    }
  }
}

io::Task<Result<Done>> TlsWire::wait_turn() {
  while (sending_) CO_TRY_DO(co_await may_send_.wait());
  co_return Done{};
}

io::Task<Result<Done>> TlsWire::flush() {
  CO_TRY_DO(co_await wait_turn());
  std::vector<tls::Piece> ciphertext;
  session_->take_output(ciphertext);
  co_return co_await send(std::move(ciphertext));
}

io::Task<Result<Done>> TlsWire::send_all(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    CO_TRY_DO(co_await wait_turn());
    const auto part = bytes.first(std::min(bytes.size(), kRecordMax));
    std::vector<tls::Piece> ciphertext;
    session_->take_output(ciphertext);
    if (!session_->open()) co_return failed(Reason::kPeerReset, kDuring);
    CO_TRY_DO(session_->seal(tls::Piece::copy_of(part), ciphertext));
    CO_TRY_DO(co_await send(std::move(ciphertext)));
    bytes = bytes.subspan(part.size());
  }
  co_return Done{};
}

// Whoever calls has the turn.
io::Task<Result<Done>> TlsWire::send(std::vector<tls::Piece> ciphertext) {
  if (torn_) co_return failed(Reason::kPeerReset, kDuring);
  sending_ = torn_ = true;  // unless it comes back
  Result<Done> sent = Done{};
  for (const tls::Piece& piece : ciphertext) {
    sent = co_await below_->send_all(piece.bytes());
    if (!sent) break;
  }
  sending_ = false;
  torn_ = !sent.has_value();
  may_send_.set();
  may_send_.reset();
  co_return sent;
}

Result<Done> TlsWire::finish_sending() {
  finish_.set();
  return Done{};
}

}  // namespace mesh::waypoint::wire
