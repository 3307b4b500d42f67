#include "mesh/io/unix_socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "mesh/io/acceptor.h"
#include "mesh/io/await_operation.h"

namespace mesh::io {

using internal::AwaitOperation;
using internal::Opcode;
using internal::Submission;

// Messages are few and small here: the loop waits for readiness, then one ordinary system call.
struct SeqpacketSocket::Impl {
  Impl(Ring& on, Descriptor descriptor) noexcept : ring(on), fd(std::move(descriptor)) {}

  auto wait_for(short events) noexcept {
    const Submission poll{
        .opcode = Opcode::kPoll, .handle = fd.get(), .flags = static_cast<unsigned>(events)};
    return AwaitOperation(ring, "wait for a Unix socket", poll);
  }

  Ring& ring;
  Descriptor fd;
};

namespace {

// More than anybody may send: SCM_MAX_FD of the kernel. What does not fit the caller is closed here
// and not by the kernel, which would only say that something was cut off.
constexpr std::size_t kKernelMaxDescriptors = 253;

using Control = std::array<std::byte, CMSG_SPACE(sizeof(int) * kKernelMaxDescriptors)>;

Result<sockaddr_un> address_of(const std::string& path) noexcept {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return failed(Reason::kTooLarge, "Unix socket path");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

// Takes every descriptor out of the message; false when there were more than `max`.
bool take_descriptors(msghdr& header, SeqpacketSocket::Message& message, std::size_t max) noexcept {
  bool all_fit = true;
  for (cmsghdr* control = CMSG_FIRSTHDR(&header); control != nullptr;
       control = CMSG_NXTHDR(&header, control)) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t index = 0; index < count; ++index) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(control) + index * sizeof fd, sizeof fd);
      Descriptor descriptor(fd);
      if (message.descriptor_count < max) {
        message.descriptors[message.descriptor_count++] = std::move(descriptor);
      } else {
        all_fit = false;
      }
    }
  }
  return all_fit;
}

// Is somebody listening on this path?
bool answers(const sockaddr_un& address) noexcept {
  const Descriptor probe(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe) return true;  // cannot tell: leave it alone
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    return true;
  }
  return errno != ECONNREFUSED && errno != ENOENT;
}

Result<Done> make_way(const std::string& path, const sockaddr_un& address) noexcept {
  struct stat status{};
  if (::lstat(path.c_str(), &status) < 0) {
    if (errno == ENOENT) return Done{};
    return failed_with_errno(errno, "Unix socket path");
  }
  if (!S_ISSOCK(status.st_mode) || answers(address)) {
    return failed_with_errno(EADDRINUSE, "Unix socket path");
  }
  if (::unlink(path.c_str()) < 0) return failed_with_errno(errno, "replace Unix socket");
  return Done{};
}

}  // namespace

Task<Result<SeqpacketSocket>> SeqpacketSocket::connect(Ring& ring, std::string path) {
  CO_TRY(sockaddr_un address, address_of(path));
  Descriptor fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!fd) co_return failed_with_errno(errno, "Unix socket");
  const Submission connect{
      .opcode = Opcode::kConnect, .handle = fd.get(), .memory = &address, .length = sizeof address};
  CO_TRY_DO(co_await AwaitOperation(ring, "connect to a Unix socket", connect));
  co_return SeqpacketSocket(std::make_unique<Impl>(ring, std::move(fd)));
}

SeqpacketSocket::SeqpacketSocket(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SeqpacketSocket::SeqpacketSocket(SeqpacketSocket&&) noexcept = default;
SeqpacketSocket& SeqpacketSocket::operator=(SeqpacketSocket&&) noexcept = default;
SeqpacketSocket::~SeqpacketSocket() = default;

Task<Result<SeqpacketSocket::Message>> SeqpacketSocket::recv(std::span<std::byte> into,
                                                             std::size_t max_descriptors) {
  MESH_CHECK(max_descriptors <= kMaxDescriptors);
  for (;;) {
    CO_TRY_DO(co_await impl_->wait_for(POLLIN));
    iovec piece{into.data(), into.size()};
    alignas(cmsghdr) Control control;
    msghdr header{};
    header.msg_iov = &piece;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    const ssize_t size = ::recvmsg(impl_->fd.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (size < 0) co_return failed_with_errno(errno, "recv from a Unix socket");
    Message message;
    message.size = static_cast<std::size_t>(size);
    const bool all_fit = take_descriptors(header, message, max_descriptors);
    if (!all_fit || (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
      co_return failed(Reason::kTooLarge, "recv from a Unix socket");
    }
    co_return message;
  }
}

Task<Result<Done>> SeqpacketSocket::send(std::span<const std::byte> message,
                                         std::span<const int> descriptors) {
  if (descriptors.size() > kMaxDescriptors) co_return failed(Reason::kTooLarge, "descriptors");
  for (;;) {
    iovec piece{const_cast<std::byte*>(message.data()), message.size()};
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int) * kMaxDescriptors)> control{};
    msghdr header{};
    header.msg_iov = &piece;
    header.msg_iovlen = 1;
    if (!descriptors.empty()) {
      header.msg_control = control.data();
      header.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
      cmsghdr* rights = CMSG_FIRSTHDR(&header);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN(descriptors.size_bytes());
      std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size_bytes());
    }
    if (::sendmsg(impl_->fd.get(), &header, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) co_return Done{};
    if (errno == EMSGSIZE) co_return failed(Reason::kTooLarge, "send to a Unix socket");
    if (errno != EAGAIN && errno != EINTR) {
      co_return failed_with_errno(errno, "send to a Unix socket");
    }
    CO_TRY_DO(co_await impl_->wait_for(POLLOUT));
  }
}

Result<SeqpacketSocket::Credentials> SeqpacketSocket::peer_credentials() const noexcept {
  ucred peer{};
  socklen_t length = sizeof peer;
  if (::getsockopt(impl_->fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0) {
    return failed_with_errno(errno, "peer credentials");
  }
  return Credentials{static_cast<std::uint32_t>(peer.pid), peer.uid, peer.gid};
}

struct SeqpacketListener::Impl {
  ~Impl() { ::unlink(path.c_str()); }

  Ring& ring;
  std::string path;
  std::unique_ptr<internal::Acceptor, internal::Acceptor::Retire> acceptor;
};

Result<SeqpacketListener> SeqpacketListener::listen(Ring& ring, const std::string& path,
                                                    unsigned mode, int backlog) {
  TRY(const sockaddr_un address, address_of(path));
  Descriptor fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!fd) return failed_with_errno(errno, "Unix socket");
  TRY_DO(make_way(path, address));
  // The mode must be right before anybody can connect: nobody can until listen().
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) {
    return failed_with_errno(errno, "bind Unix socket");
  }
  if (::chmod(path.c_str(), mode) < 0) return failed_with_errno(errno, "mode of Unix socket");
  if (::listen(fd.get(), backlog) < 0) return failed_with_errno(errno, "listen on Unix socket");
  auto* acceptor = new internal::Acceptor(ring, fd.release());
  return SeqpacketListener(
      std::unique_ptr<Impl>(new Impl{ring, path, decltype(Impl::acceptor)(acceptor)}));
}

SeqpacketListener::SeqpacketListener(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SeqpacketListener::SeqpacketListener(SeqpacketListener&&) noexcept = default;
SeqpacketListener& SeqpacketListener::operator=(SeqpacketListener&&) noexcept = default;
SeqpacketListener::~SeqpacketListener() = default;

Task<Result<SeqpacketSocket>> SeqpacketListener::accept() {
  CO_TRY(const int fd, co_await impl_->acceptor->accept());
  co_return SeqpacketSocket(std::make_unique<SeqpacketSocket::Impl>(impl_->ring, Descriptor(fd)));
}

}  // namespace mesh::io
