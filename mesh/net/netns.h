#pragma once
// A network namespace, held by a descriptor, and running a function inside it.

#include <cstdint>
#include <functional>
#include <string>

#include "mesh/base/result.h"

namespace mesh::net {

// Owns the descriptor of a network namespace (/proc/PID/ns/net, or one received over a socket).
class NetworkNamespace {
 public:
  // Takes `fd`; checks that it is a network namespace (NS_GET_NSTYPE). Errors: kMalformed.
  static Result<NetworkNamespace> adopt(int fd);
  static Result<NetworkNamespace> open(const std::string& path);
  static Result<NetworkNamespace> current();
  // One of io_sim's: no descriptor, and run() fails; its inode is the simulator's own.
  static NetworkNamespace simulated(std::uint64_t inode) { return {-1, inode}; }
  NetworkNamespace(NetworkNamespace&& other) noexcept;
  NetworkNamespace& operator=(NetworkNamespace&& other) noexcept;
  ~NetworkNamespace();

  int fd() const noexcept { return fd_; }
  // The namespace's inode: equal for equal namespaces, as `ip netns` and BPF see them.
  std::uint64_t inode() const noexcept { return inode_; }

  // Runs `action` with this thread inside the namespace, and returns to the one it came from. When
  // returning fails the process aborts: a thread in the wrong namespace is not survivable.
  // Errors: kSystem when entering fails (the namespace's last user is gone does not fail).
  Result<Done> run(const std::function<void()>& action) const;

 private:
  NetworkNamespace(int fd, std::uint64_t inode) : fd_(fd), inode_(inode) {}
  int fd_ = -1;
  std::uint64_t inode_ = 0;
};

}  // namespace mesh::net
