#include "mesh/hbone/stream.h"

#include <algorithm>
#include <utility>

#include "mesh/base/check.h"
#include "mesh/hbone/stream_state.h"
#include "mesh/hbone/tunnel.h"

namespace mesh::hbone {
namespace {

// A slice smaller than this is copied when it is kept, so that it does not hold a whole wire
// buffer.
constexpr std::size_t kCopyBelow = 4096;
// One DATA frame that fills a record.
constexpr std::size_t kPayloadMax = 16384 - 9;

Error failure_of(const StreamState& state) {
  return state.failure.value_or(Error{.reason = Reason::kPeerReset, .during = "stream"});
}

}  // namespace

void StreamState::fail(const Error& error) noexcept {
  if (failure) return;
  failure = error;
  readable.wake_all();
  writable.wake_all();
  hung_up.wake_all();
  answered.wake_all();
  if (handler != nullptr && (unanswered || !armed())) arm(ring.now() + kHandlerGrace);
}

void StreamState::push(tls::Slice bytes) {
  if (readable.empty() && bytes.size() < kCopyBelow) bytes = tls::Slice::copy_of(bytes.bytes());
  received.push_back(std::move(bytes));
  readable.wake_one();
}

void StreamState::release() noexcept {
  received.clear();
  if (tunnel == nullptr) return;
  // Both ended: what is queued still goes out. Otherwise nobody is there to go on.
  if (ended && finished) return;
  tunnel->h2().reset(id, h2::ErrorCode::kCancel);
  tunnel->wake_writer();
}

Stream::Stream(std::shared_ptr<StreamState> state) : state_(std::move(state)) {}
Stream::Stream(Stream&&) noexcept = default;

Stream& Stream::operator=(Stream&& other) noexcept {
  if (this != &other) {
    if (state_) state_->release();
    state_ = std::move(other.state_);
  }
  return *this;
}

Stream::~Stream() {
  if (state_) state_->release();
}

static tls::Slice take_front(StreamState& state) noexcept {
  tls::Slice bytes = std::move(state.received.front());
  state.received.pop_front();
  if (state.tunnel != nullptr) {
    state.tunnel->h2().consumed(state.id, bytes.size());
    if (state.tunnel->h2().wants_to_send()) state.tunnel->wake_writer();
  }
  return bytes;
}

std::optional<tls::Slice> Stream::take_ready() noexcept {
  if (state_->received.empty()) return std::nullopt;
  return take_front(*state_);
}

NextSlice::NextSlice(StreamState& state) noexcept : state_(state), wait_(state.readable) {}

bool NextSlice::has_outcome() const noexcept {
  return !state_.received.empty() || state_.ended || state_.failure;
}

Result<tls::Slice> NextSlice::await_resume() noexcept {
  if (!state_.received.empty()) return take_front(state_);
  if (state_.ended) return tls::Slice{};
  if (state_.failure) return std::unexpected(failure_of(state_));
  return failed(Reason::kCancelled, "stream receive");
}

io::Task<Result<tls::Slice>> Stream::recv_buffer() { co_return co_await NextSlice(*state_); }

// Waits until there is room; then the caller queues and wakes the writer.
static io::Task<Result<Done>> wait_for_room(StreamState& state) {
  for (;;) {
    if (state.failure) co_return std::unexpected(failure_of(state));
    if (state.finished || state.tunnel == nullptr) {
      co_return failed(Reason::kPeerClosed, "stream send");
    }
    const std::size_t unsent_max = state.ring.bulk_share(io::BufferClass::kRelay);
    if (state.tunnel->h2().unsent(state.id) < unsent_max) co_return Done{};
    if (!co_await state.writable.wait()) co_return failed(Reason::kCancelled, "stream send");
  }
}

io::Task<Result<Done>> Stream::send_all(std::span<const std::byte> bytes) {
  StreamState& state = *state_;
  while (!bytes.empty()) {
    CO_TRY_DO(co_await wait_for_room(state));
    const auto part = bytes.first(std::min(bytes.size(), kPayloadMax));
    state.tunnel->h2().send(state.id, tls::Piece::copy_of(part));
    state.tunnel->wake_writer();
    bytes = bytes.subspan(part.size());
  }
  co_return Done{};
}

io::Task<Result<Done>> Stream::send_piece(tls::Piece piece) {
  StreamState& state = *state_;
  CO_TRY_DO(co_await wait_for_room(state));
  state.tunnel->h2().send(state.id, std::move(piece));
  state.tunnel->wake_writer();
  co_return Done{};
}

bool Stream::quiet() const noexcept {
  return state_->received.empty() && !state_->ended && !state_->failure;
}

io::Task<Result<Done>> Stream::send_buffer(io::Buffer buffer) {
  StreamState& state = *state_;
  CO_TRY_DO(co_await wait_for_room(state));
  state.tunnel->h2().send(state.id, tls::Piece(std::move(buffer)));
  state.tunnel->wake_writer();
  co_return Done{};
}

Result<Done> Stream::finish_sending() noexcept {
  StreamState& state = *state_;
  if (state.failure) return std::unexpected(failure_of(state));
  if (std::exchange(state.finished, true) || state.tunnel == nullptr) return Done{};
  state.tunnel->h2().finish(state.id);
  state.tunnel->wake_writer();
  return Done{};
}

void Stream::reset(h2::ErrorCode code) noexcept {
  StreamState& state = *state_;
  state.received.clear();
  if (state.tunnel != nullptr) {
    state.tunnel->h2().reset(state.id, code);
    state.tunnel->wake_writer();
  }
  state.fail({.reason = Reason::kCancelled, .during = "stream reset"});
}

io::Task<Result<Done>> Stream::wait_hang_up() {
  StreamState& state = *state_;
  while (!state.failure) {
    if (!co_await state.hung_up.wait()) co_return failed(Reason::kCancelled, "wait for hang-up");
  }
  co_return Done{};
}

void Stream::cancel_when_broken(io::CancelScope* scope) noexcept {
  state_->handler = scope;
  if (scope == nullptr) {
    state_->disarm();
  } else if (state_->failure && !state_->armed()) {
    state_->arm(state_->ring.now() + kHandlerGrace);
  }
}

std::optional<Error> Stream::failure() const { return state_->failure; }

}  // namespace mesh::hbone
