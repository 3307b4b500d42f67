#include "cli/lab/packet_socket.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace mesh::cli::lab {
namespace {

Outcome<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return problem(path + ": longer than a Unix socket's name can be (107 bytes)");
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

}  // namespace

Outcome<PacketSocket> PacketSocket::connect_to(const std::string& path) {
  TRY(const sockaddr_un address, address_of(path));
  PacketSocket socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (socket.fd_ < 0 ||
      ::connect(socket.fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return problem_with_errno("connect to " + path);
  }
  return socket;
}

Outcome<PacketSocket> PacketSocket::listen_at(const std::string& path) {
  TRY(const sockaddr_un address, address_of(path));
  ::unlink(path.c_str());
  PacketSocket socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (socket.fd_ < 0 ||
      ::bind(socket.fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::chmod(path.c_str(), 0600) != 0 || ::listen(socket.fd_, 16) != 0) {
    return problem_with_errno("listen at " + path);
  }
  return socket;
}

PacketSocket::PacketSocket(PacketSocket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
PacketSocket& PacketSocket::operator=(PacketSocket&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}
PacketSocket::~PacketSocket() {
  if (fd_ >= 0) ::close(fd_);
}

Outcome<PacketSocket> PacketSocket::accept() {
  PacketSocket socket(::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC));
  if (socket.fd_ < 0) return problem_with_errno("accept");
  return socket;
}

Outcome<Done> PacketSocket::send(const std::string& packet, int passed_fd) {
  if (packet.size() > kPacketBytesMax) return problem("a packet larger than 16 KiB");
  iovec part{.iov_base = const_cast<char*>(packet.data()), .iov_len = packet.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (passed_fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &passed_fd, sizeof passed_fd);
  }
  if (::sendmsg(fd_, &message, MSG_NOSIGNAL) < 0) return problem_with_errno("send");
  return Done{};
}

Outcome<std::string> PacketSocket::receive(std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd wait{.fd = fd_, .events = POLLIN, .revents = 0};
    const int ready = ::poll(&wait, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return problem("no answer in time");
    std::string packet(kAnswerBytesMax + 1, '\0');
    const ssize_t got = ::recv(fd_, packet.data(), packet.size(), MSG_CMSG_CLOEXEC);
    if (got < 0) return problem_with_errno("receive");
    if (got == 0) return problem("closed without an answer");
    if (static_cast<std::size_t>(got) > kAnswerBytesMax) {
      return problem("an answer larger than 256 KiB");
    }
    packet.resize(static_cast<std::size_t>(got));
    return packet;
  }
}

}  // namespace mesh::cli::lab
