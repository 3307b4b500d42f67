#pragma once
// Stream: one connection inside a tunnel, as a ByteStream (mesh/io/socket.h).
//
// A clean end is END_STREAM and nothing else: RST_STREAM of any code, a broken tunnel, a missed
// keep-alive or a drain deadline are errors of recv_buffer(), so that the relay can end the other
// side with RST and truncation is never mistaken for the end.

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "mesh/base/result.h"
#include "mesh/h2/connection.h"
#include "mesh/io/buffer.h"
#include "mesh/io/cancel.h"
#include "mesh/io/event.h"
#include "mesh/io/task.h"
#include "mesh/tls/piece.h"
#include "mesh/tls/slice.h"

namespace mesh::hbone {

class Tunnel;        // internal: one TLS + HTTP/2 connection
struct StreamState;  // internal

// See Stream::next_buffer().
class [[nodiscard]] NextSlice {
 public:
  explicit NextSlice(StreamState& state) noexcept;
  bool await_ready() const noexcept { return has_outcome(); }
  template <class Caller>
  bool await_suspend(std::coroutine_handle<Caller> caller) noexcept {
    return wait_.await_suspend(caller);
  }
  Result<tls::Slice> await_resume() noexcept;

 private:
  bool has_outcome() const noexcept;

  StreamState& state_;
  io::internal::WaitList::Wait wait_;
};

// Owns its place in the tunnel: destroying one that has not ended resets it (CANCEL). One reader
// and one writer at a time. Threads: those of its ring.
class Stream {
 public:
  Stream() = default;
  explicit Stream(std::shared_ptr<StreamState> state);
  Stream(Stream&&) noexcept;
  Stream& operator=(Stream&&) noexcept;
  ~Stream();

  // At least one byte, or empty at the peer's END_STREAM (or trailers).
  // Errors: kPeerReset (RST_STREAM, or the tunnel broke), kTimedOut (keep-alive), kDraining
  // (deadline), kCancelled.
  io::Task<Result<tls::Slice>> recv_buffer();
  // The same without a frame: for co_await in the expression that makes it.
  NextSlice next_buffer() noexcept { return NextSlice(*state_); }
  // What has arrived already, if anything: for gathering several slices into one send.
  std::optional<tls::Slice> take_ready() noexcept;

  // Accepted for sending once the tunnel has room: Ring::bulk_share() of a stream and a buffer more
  // wait in it.
  io::Task<Result<Done>> send_all(std::span<const std::byte> bytes);
  // The same without a copy: the buffer's headroom and tailroom take the frame and the record.
  io::Task<Result<Done>> send_buffer(io::Buffer buffer);

  io::Task<Result<Done>> send_piece(tls::Piece piece);
  // Nothing has arrived, nothing has ended, nothing broke: for who keeps it for later.
  bool quiet() const noexcept;

  Result<Done> finish_sending() noexcept;
  // RST_STREAM; operations in flight complete with an Error.
  void reset() noexcept { reset(h2::ErrorCode::kCancel); }
  void reset(h2::ErrorCode code) noexcept;

  // Done when the peer has reset the stream or the tunnel is gone. Ends on cancel.
  io::Task<Result<Done>> wait_hang_up();

  // Asks `scope` to cancel when the stream has been broken for a second and nobody noticed, because
  // both directions wait for the other side: for an application that does not read, say. nullptr
  // ends it. Handlers of a TunnelServer have this already.
  void cancel_when_broken(io::CancelScope* scope) noexcept;
  // Why it is broken, if it is.
  std::optional<Error> failure() const;

 private:
  std::shared_ptr<StreamState> state_;
};

// Runs `task`, which relays over `stream`: see Stream::cancel_when_broken(). The error is then the
// stream's.
template <class T>
io::Task<Result<T>> while_whole(Stream& stream, io::Task<Result<T>> task) {
  io::CancelScope* const outer = co_await io::current_cancel();
  io::CancelScope scope(outer);
  stream.cancel_when_broken(&scope);
  Result<T> result = co_await std::move(task).under(scope);
  stream.cancel_when_broken(nullptr);
  const bool by_us = scope.requested() && (outer == nullptr || !outer->requested());
  if (!result && result.error().reason == Reason::kCancelled && by_us) {
    co_return std::unexpected(
        stream.failure().value_or(Error{.reason = Reason::kPeerReset, .during = "stream"}));
  }
  co_return result;
}

}  // namespace mesh::hbone
