#pragma once
// The accepting half of a listener, multishot. Internal to mesh/io.

#include <cstddef>
#include <memory>
#include <vector>

#include "mesh/io/backend.h"
#include "mesh/io/event.h"
#include "mesh/io/ring_impl.h"

namespace mesh::io::internal {

// Connections that nobody has taken yet wait in the kernel's backlog, but for at most kAheadMax
// here and what one turn of the kernel brings.
class Acceptor final : Operation {
 public:
  static constexpr std::size_t kAheadMax = 64;

  Acceptor(Ring& ring, int handle) noexcept : ring_(ring), handle_(handle), arrived_(ring) {}

  // A handle that the caller owns. Errors: kExhausted, kCancelled.
  Task<Result<int>> accept();
  // Resets what was accepted and not taken, wakes accept() with kCancelled, closes the listener.
  void close() noexcept;
  bool closed() const noexcept { return closed_; }
  int handle() const noexcept { return handle_; }

  // Closes; destroyed at once, or when the operation in flight has ended.
  static void retire(std::unique_ptr<Acceptor> acceptor) noexcept;
  struct Retire {
    void operator()(Acceptor* acceptor) const noexcept {
      retire(std::unique_ptr<Acceptor>(acceptor));
    }
  };

 private:
  Backend& backend() noexcept { return *ring_.impl().backend; }
  void arm() noexcept;
  void on_completion(const Completion& completion) override;

  Ring& ring_;
  int handle_;
  int error_ = 0;  // handed out once
  WaitList arrived_;
  std::vector<int> ready_;  // the next one last
  std::vector<int> arrivals_;
  bool cancelled_ = false;
  bool closed_ = false;
  bool retired_ = false;
};

}  // namespace mesh::io::internal
