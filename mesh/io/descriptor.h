#pragma once
// A file descriptor with an owner, and waiting for one that is not a socket of ours.

#include <utility>

#include "mesh/base/result.h"
#include "mesh/io/ring.h"
#include "mesh/io/task.h"

namespace mesh::io {

// Owns a descriptor; closes it.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) noexcept : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (this != &other) {
      close();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~Descriptor() { close(); }

  int get() const noexcept { return fd_; }
  int release() noexcept { return std::exchange(fd_, -1); }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  void close() noexcept;

 private:
  int fd_ = -1;
};

// Waits until `fd` can be read: netlink, inotify, a BPF ring buffer's epoll. Borrows `fd`.
// The simulator has no such descriptors: kSystem with EOPNOTSUPP there.
Task<Result<Done>> wait_readable(Ring& ring, int fd);

}  // namespace mesh::io
