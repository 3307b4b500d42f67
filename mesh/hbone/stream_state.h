#pragma once
// What a stream and its tunnel share. Internal to mesh/hbone.

#include <optional>
#include <utility>
#include <vector>

#include "mesh/base/result.h"
#include "mesh/h2/connection.h"
#include "mesh/io/cancel.h"
#include "mesh/io/event.h"
#include "mesh/io/ring.h"
#include "mesh/io/timer.h"
#include "mesh/tls/fifo.h"
#include "mesh/tls/slice.h"

namespace mesh::hbone {

class Tunnel;

// A handler that has not noticed within this time that its stream is broken is cancelled: it may be
// stuck in a write to an application that does not read.
inline constexpr io::Duration kHandlerGrace = std::chrono::seconds(1);

// What has arrived and was not read. Holds no memory until something does: most streams are idle.
class SliceQueue {
 public:
  bool empty() const noexcept { return taken_ == slices_.size(); }
  tls::Slice& front() noexcept { return slices_[taken_]; }
  void push_back(tls::Slice slice) { slices_.push_back(std::move(slice)); }
  void pop_front() {
    slices_[taken_++] = {};
    if (empty()) clear();
  }
  void clear() {
    slices_ = std::vector<tls::Slice>();
    taken_ = 0;
  }

 private:
  std::vector<tls::Slice> slices_;
  std::size_t taken_ = 0;
};

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

  SliceQueue received{};
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

  // Cancels who works on the stream.
  io::CancelScope* handler = nullptr;
  bool unanswered = false;  // server: the CONNECT waits for its answer

  void fail(const Error& error) noexcept;
  void push(tls::Slice bytes);
  // The stream object is gone: nobody will read, write or ask.
  void release() noexcept;
  // Server: when no answer was given in time, the handler is cancelled; it then says 503.
  void await_answer(io::Duration within) {
    unanswered = true;
    arm(ring.now() + within);
  }

 private:
  void on_time() noexcept override {
    if (handler != nullptr) handler->request();
  }
};

}  // namespace mesh::hbone
