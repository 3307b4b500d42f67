#pragma once
// What a Socket is. Internal to mesh/io.

#include <memory>

#include "mesh/io/receiver.h"
#include "mesh/io/socket.h"

namespace mesh::io {

// Outlives its Socket until an armed receive has ended: the kernel holds a pointer to it.
struct Socket::Impl final : internal::Receiver::Stopped {
  Impl(Ring& on, int taken) noexcept : ring(on), handle(taken), receiver(on, taken) {}

  // Takes the handle.
  static Socket make(Ring& ring, int handle);
  static void retire(std::unique_ptr<Impl> impl) noexcept;

  void on_receiver_stopped() noexcept override;
  void close() noexcept;
  internal::Backend& backend() noexcept { return *ring.impl().backend; }

  Ring& ring;
  int handle;
  internal::Receiver receiver;
  internal::CloseHow close_how = internal::CloseHow::kGraceful;
  bool aborted = false;
  bool retired = false;
};

}  // namespace mesh::io
