#include "mesh/grpc/transport.h"

#include <span>
#include <utility>

#include "mesh/io/buffer.h"
#include "mesh/io/timer.h"

namespace mesh::grpc {
namespace {

constexpr const char* kDuring = "grpc connection";
constexpr std::size_t kSendBatchBytes = 64 * 1024;
constexpr std::size_t kPiecesPerSend = 64;
constexpr io::Duration kGoodbye = std::chrono::seconds(1);
constexpr io::Duration kBufferWait = std::chrono::milliseconds(20);

// Receives; when the ring has no buffer left right now, tries again.
io::Task<Result<io::Buffer>> receive(io::Ring& ring, io::Socket& socket) {
  for (;;) {
    auto buffer = co_await socket.recv_buffer(io::BufferClass::kWire);
    if (buffer || buffer.error().reason != Reason::kExhausted) co_return buffer;
    CO_TRY_DO(co_await io::sleep_for(ring, kBufferWait));
  }
}

}  // namespace

Transport::Transport(io::Ring& ring, io::Socket socket, const h2::Options& options,
                     h2::Events& events)
    : ring_(ring), socket_(std::move(socket)), h2_(options, events, ring.now()), work_(ring) {}

Transport::~Transport() = default;

io::Task<Result<Done>> Transport::handshake(std::shared_ptr<const tls::Context> context) {
  tls::SessionOptions options;
  options.now = std::chrono::floor<std::chrono::seconds>(ring_.wall_now());
  CO_TRY(session_, tls::Session::create(std::move(context), std::move(options)));
  for (;;) {
    std::vector<tls::Piece> ciphertext;
    session_->take_output(ciphertext);
    CO_TRY_DO(co_await send(std::move(ciphertext)));
    if (session_->open()) co_return Done{};
    CO_TRY(io::Buffer buffer, co_await receive(ring_, socket_));
    if (buffer.empty()) co_return failed(Reason::kPeerClosed, "tls handshake");
    bytes_received_ += buffer.size();
    const auto fed = session_->feed(tls::Slice(std::move(buffer)), early_);
    if (!fed) {
      // The alert tells the peer what we did not like.
      std::vector<tls::Piece> alert;
      session_->take_output(alert);
      co_await send(std::move(alert));
      co_return fed;
    }
  }
}

io::Task<Error> Transport::run() {
  {
    io::TaskScope scope(co_await io::current_cancel());
    scope.spawn(part(read(), scope));
    scope.spawn(part(write(), scope));
    scope.spawn(part(keep_time(), scope));
    co_await scope.join();
  }
  // A goodbye is said also when we were told to stop; but not for long.
  if (error_->reason == Reason::kCancelled) h2_.go_away(h2::ErrorCode::kNoError);
  io::CancelScope unhurried;
  co_await io::with_deadline(ring_, kGoodbye, kDuring, flush()).under(unhurried);
  h2_.transport_ended();
  co_return *error_;
}

// Runs one of the parts; the first that ends says why the connection does.
io::Task<void> Transport::part(io::Task<Result<Done>> task, io::TaskScope& scope) {
  const Result<Done> result = co_await std::move(task);
  if (!error_) {
    error_ = result ? Error{.reason = Reason::kPeerClosed, .during = kDuring} : result.error();
  }
  scope.cancel();
}

io::Task<Result<Done>> Transport::read() {
  CO_TRY_DO(deliver(early_));
  for (;;) {
    work_.set();
    if (session_->state() == tls::Session::State::kPeerClosed) co_return Done{};
    CO_TRY(io::Buffer buffer, co_await receive(ring_, socket_));
    if (buffer.empty()) co_return Done{};
    bytes_received_ += buffer.size();
    std::vector<tls::Slice> plaintext;
    const auto fed = session_->feed(tls::Slice(std::move(buffer)), plaintext);
    CO_TRY_DO(deliver(plaintext));
    CO_TRY_DO(fed);
  }
}

Result<Done> Transport::deliver(std::vector<tls::Slice>& plaintext) {
  for (const tls::Slice& slice : plaintext) TRY_DO(h2_.receive(slice, ring_.now()));
  plaintext.clear();
  return Done{};
}

io::Task<Result<Done>> Transport::write() {
  for (;;) {
    work_.reset();
    std::vector<tls::Piece> ciphertext;
    CO_TRY_DO(gather(ciphertext));
    if (!ciphertext.empty()) {
      CO_TRY_DO(co_await send(std::move(ciphertext)));
      continue;
    }
    if (h2_.failure()) co_return std::unexpected(*h2_.failure());
    if (h2_.finished()) co_return Done{};
    CO_TRY_DO(co_await work_.wait());
  }
}

// The next batch of what has to be sent: TLS's own first, then frames.
Result<Done> Transport::gather(std::vector<tls::Piece>& ciphertext) {
  session_->take_output(ciphertext);
  if (!session_->open()) return Done{};
  std::vector<tls::Piece> frames;
  h2_.produce(frames, kSendBatchBytes);
  for (tls::Piece& frame : frames) TRY_DO(session_->seal(std::move(frame), ciphertext));
  return Done{};
}

io::Task<Result<Done>> Transport::send(std::vector<tls::Piece> ciphertext) {
  std::vector<std::span<const std::byte>> pieces;
  for (std::size_t at = 0; at < ciphertext.size();) {
    pieces.clear();
    for (; at < ciphertext.size() && pieces.size() < kPiecesPerSend; ++at) {
      pieces.push_back(std::as_const(ciphertext[at]).bytes());
      bytes_sent_ += ciphertext[at].size();
    }
    torn_ = true;  // unless it comes back
    CO_TRY_DO(co_await socket_.send_all(pieces));
    torn_ = false;
  }
  co_return Done{};
}

io::Task<Result<Done>> Transport::keep_time() {
  for (;;) {
    CO_TRY_DO(co_await io::sleep_until(ring_, h2_.next_deadline()));
    CO_TRY_DO(h2_.on_deadline(ring_.now()));
    work_.set();
  }
}

// What is left to say: a GOAWAY, an alert, close_notify.
io::Task<Result<Done>> Transport::flush() {
  // Behind a send that was cut off, the peer could not decrypt what follows.
  if (torn_) co_return socket_.finish_sending();
  std::vector<tls::Piece> ciphertext;
  CO_TRY_DO(gather(ciphertext));
  if (session_->open()) session_->close_notify();
  session_->take_output(ciphertext);
  CO_TRY_DO(co_await send(std::move(ciphertext)));
  co_return socket_.finish_sending();
}

}  // namespace mesh::grpc
