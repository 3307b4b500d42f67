#include "ebpf/seqpacket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace mesh::ebpf {
namespace {

constexpr int kBacklog = 16;
constexpr int kSendBufferBytes = 4 << 20;  // a full list of pods and connections fits
constexpr std::size_t kDescriptorsMax = 4;

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path)
    return failed_with_errno(ENAMETOOLONG, "bind socket");
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

// A socket file whose owner is gone refuses connections.
bool is_abandoned(const sockaddr_un& address) {
  struct stat status{};
  if (lstat(address.sun_path, &status) < 0 || !S_ISSOCK(status.st_mode)) return false;
  const UniqueFd probe(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return probe &&
         ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0 &&
         errno == ECONNREFUSED;
}

}  // namespace

Result<UniqueFd> listen_seqpacket(const std::string& path) {
  TRY(const sockaddr_un address, address_of(path));
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return failed_with_errno(errno, "make socket");
  if (is_abandoned(address)) unlink(path.c_str());
  // The file is made with the mask applied: there is no moment in which others could connect.
  const mode_t mask = umask(0177);
  const int bound =
      ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int error = errno;
  umask(mask);
  if (bound < 0) return failed_with_errno(error, "bind socket");
  if (::listen(socket.get(), kBacklog) < 0) return failed_with_errno(errno, "listen");
  return socket;
}

UniqueFd dial_seqpacket(const std::string& path) {
  const auto address = address_of(path);
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!address || !socket ||
      ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) < 0)
    return UniqueFd();
  return socket;
}

Result<Peer> accept_peer(int listener) {
  Peer peer{.socket = UniqueFd(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK))};
  if (!peer.socket) return failed_with_errno(errno, "accept");
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (getsockopt(peer.socket.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0)
    return failed_with_errno(errno, "peer credentials");
  peer.pid = credentials.pid;
  peer.uid = credentials.uid;
  setsockopt(peer.socket.get(), SOL_SOCKET, SO_SNDBUFFORCE, &kSendBufferBytes,
             sizeof kSendBufferBytes);
  return peer;
}

Result<Packet> receive_packet(int socket, std::size_t bytes_max) {
  Packet packet;
  packet.bytes.resize(bytes_max);
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(kDescriptorsMax * sizeof(int))> control{};
  iovec part{packet.bytes.data(), packet.bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (received < 0) return failed_with_errno(errno, "receive");
  packet.bytes.resize(static_cast<std::size_t>(received));
  packet.truncated = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
  for (cmsghdr* each = CMSG_FIRSTHDR(&message); each != nullptr;
       each = CMSG_NXTHDR(&message, each)) {
    if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (each->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(each) + i * sizeof fd, sizeof fd);
      packet.descriptors.emplace_back(fd);
    }
  }
  return packet;
}

Result<Done> send_packet(int socket, std::span<const std::byte> bytes, int descriptor) {
  iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
  if (descriptor >= 0) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof descriptor);
    std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
  }
  if (sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
    return failed_with_errno(errno, "send");
  return Done{};
}

}  // namespace mesh::ebpf
