#pragma once
// What a stream and its tunnel share. Internal to mesh/hbone.

#include <deque>
#include <optional>

#include "mesh/base/result.h"
#include "mesh/h2/connection.h"
#include "mesh/io/cancel.h"
#include "mesh/io/event.h"
#include "mesh/io/ring.h"
#include "mesh/io/timer.h"
#include "mesh/tls/slice.h"

namespace mesh::hbone {

class Tunnel;

// What may wait unsent in a tunnel for one stream before its writer waits too.
inline constexpr std::size_t kUnsentMax = 128 * 1024;
// A handler that has not noticed within this time that its stream is broken is cancelled: it may be
// stuck in a write to an application that does not read.
inline constexpr io::Duration kHandlerGrace = std::chrono::seconds(1);

struct StreamState final : io::Timer {
  StreamState(io::Ring& on, Tunnel& of, h2::StreamId stream)
      : io::Timer(on),
        ring(on),
        tunnel(&of),
        id(stream),
        readable(on),
        writable(on),
        hung_up(on),
        answered(on) {}

  io::Ring& ring;
  Tunnel* tunnel;  // null when the tunnel is gone, or the stream is over
  h2::StreamId id;

  std::deque<tls::Slice> received{};
  bool ended = false;     // the peer's END_STREAM came
  bool finished = false;  // ours is on its way
  std::optional<Error> failure{};

  // Client: the response.
  bool has_response = false;
  h2::Headers response{};
  std::optional<h2::ErrorCode> reset_code{};  // when RST_STREAM, or the like, came

  io::internal::WaitList readable;
  io::internal::WaitList writable;
  io::internal::WaitList hung_up;
  io::internal::WaitList answered;

  // Server: cancels the handler.
  io::CancelScope* handler = nullptr;

  void fail(const Error& error) noexcept;
  void push(tls::Slice bytes);
  // The stream object is gone: nobody will read, write or ask.
  void release() noexcept;

 private:
  void on_time() noexcept override {
    if (handler != nullptr) handler->request();
  }
};

}  // namespace mesh::hbone
