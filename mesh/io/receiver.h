#pragma once
// The receiving half of a stream socket: reads ahead of its caller into the ring's buffers, a
// little. Internal to mesh/io.

#include <cstddef>
#include <optional>
#include <span>

#include "mesh/io/backend.h"
#include "mesh/io/event.h"
#include "mesh/io/ring_impl.h"

namespace mesh::io::internal {

// Two ways of asking the kernel, both multishot: no work per message, no memory while idle, and an
// end after some bytes, the next receive being submitted when the last buffer is handed out; what a
// caller that stops reading has waiting for it is then bounded. A flow that waits for its peer gets
// a buffer an answer; one that always has more ("bulk") as much as Ring::bulk_share().
class Receiver final : public Operation, BufferWaiter {
 public:
  Receiver(Ring& ring, int handle) noexcept : ring_(ring), handle_(handle), arrived_(ring) {}
  ~Receiver();

  // False: there are bytes, the end or an error to take. Otherwise a receive is armed, and whoever
  // waits for arrived() has one of them to take when woken.
  bool must_wait(BufferClass kind) noexcept;
  WaitList& arrived() noexcept { return arrived_; }
  Result<Buffer> take_outcome() noexcept;

  Task<Result<std::size_t>> receive_into(std::span<std::byte> into);
  std::optional<Buffer> take_ready() noexcept;

  // Drops what is unread, wakes the reader with kCancelled, asks an armed receive to end.
  // True: nothing is in flight. False: `stopped` will be told, once.
  class Stopped {
   public:
    virtual void on_receiver_stopped() noexcept = 0;  // may destroy the receiver

   protected:
    ~Stopped() = default;
  };
  bool stop(Stopped& stopped) noexcept;

  bool has_unread() const noexcept { return first_ != nullptr; }
  bool ended() const noexcept { return ended_; }
  bool quiet() const noexcept { return in_flight() && first_ == nullptr && error_ == 0 && !ended_; }

 private:
  Backend& backend() noexcept { return *ring_.impl().backend; }
  BufferPool& pool() noexcept { return ring_.impl().pool(kind_); }
  void arm(BufferClass kind) noexcept;
  void submit_receive() noexcept;
  void on_completion(const Completion& completion) override;
  void on_completion_stopped(const Completion& completion) noexcept;
  void on_end(int result) noexcept;
  void on_buffer_available() noexcept override;
  void append(const Completion& completion) noexcept;
  Buffer take() noexcept;
  void drop_unread() noexcept;

  Ring& ring_;
  int handle_;
  int error_ = 0;
  WaitList arrived_;
  Lease* first_ = nullptr;
  Lease* last_ = nullptr;
  Stopped* stopped_ = nullptr;
  std::size_t unread_ = 0;
  BufferClass kind_ = BufferClass::kRelay;
  bool ended_ = false;
  bool bulk_ = false;
  bool expect_wait_ = false;  // the socket was empty when we last looked
  bool cancelled_ = false;    // the armed receive was asked to end
  bool wants_buffer_ = false;
};

}  // namespace mesh::io::internal
