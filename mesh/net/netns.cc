#include "mesh/net/netns.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "mesh/base/check.h"

namespace mesh::net {
namespace {

// The namespace of the calling thread, not of the process: threads may differ.
constexpr const char* kOwnNamespace = "/proc/thread-self/ns/net";

}  // namespace

Result<NetworkNamespace> NetworkNamespace::adopt(int fd) {
  NetworkNamespace adopted(fd, 0);
  if (ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET)
    return failed(Reason::kMalformed, "network namespace");
  struct stat status{};
  if (fstat(fd, &status) < 0) return failed_with_errno(errno, "network namespace");
  adopted.inode_ = status.st_ino;
  return adopted;
}

Result<NetworkNamespace> NetworkNamespace::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return failed_with_errno(errno, "open network namespace");
  return adopt(fd);
}

Result<NetworkNamespace> NetworkNamespace::current() { return open(kOwnNamespace); }

NetworkNamespace::NetworkNamespace(NetworkNamespace&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), inode_(std::exchange(other.inode_, 0)) {}

NetworkNamespace& NetworkNamespace::operator=(NetworkNamespace&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(inode_, other.inode_);
  return *this;
}

NetworkNamespace::~NetworkNamespace() {
  if (fd_ >= 0) ::close(fd_);
}

Result<Done> NetworkNamespace::run(const std::function<void()>& action) const {
  // One per thread, opened once: every later entry costs two setns calls and nothing else. The
  // thread's home never changes, because this function always returns to it.
  struct Home {
    int fd = ::open(kOwnNamespace, O_RDONLY | O_CLOEXEC);
    ~Home() {
      if (fd >= 0) ::close(fd);
    }
  };
  static thread_local Home home;
  if (home.fd < 0) {
    home.fd = ::open(kOwnNamespace, O_RDONLY | O_CLOEXEC);
    if (home.fd < 0) return failed_with_errno(errno, "open own network namespace");
  }
  if (setns(fd_, CLONE_NEWNET) < 0) return failed_with_errno(errno, "enter network namespace");
  action();
  MESH_CHECK(setns(home.fd, CLONE_NEWNET) == 0);
  return Done{};
}

}  // namespace mesh::net
