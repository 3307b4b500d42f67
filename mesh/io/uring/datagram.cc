#include "mesh/io/uring/datagram.h"

#include <netinet/in.h>

#include <cstring>
#include <new>

namespace mesh::io::internal {
namespace {

struct Scratch {
  msghdr header;
  iovec piece;
  sockaddr_storage peer;
  alignas(cmsghdr)
      std::byte control[CMSG_SPACE(sizeof(sockaddr_in6)) + CMSG_SPACE(sizeof(in6_pktinfo))];
};
static_assert(sizeof(Scratch) <= sizeof(DatagramIo::scratch));

Scratch& make_scratch(DatagramIo& io) noexcept {
  auto* scratch = new (io.scratch.data()) Scratch;
  scratch->piece = {io.memory, io.length};
  scratch->header = {};
  scratch->header.msg_name = &scratch->peer;
  scratch->header.msg_namelen = sizeof scratch->peer;
  scratch->header.msg_iov = &scratch->piece;
  scratch->header.msg_iovlen = 1;
  return *scratch;
}

bool is_v6_socket(int fd) noexcept {
  int domain = AF_INET;
  socklen_t length = sizeof domain;
  getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length);
  return domain == AF_INET6;
}

net::IpAddress mapped(const net::IpAddress& ip) noexcept {
  if (ip.is_v6()) return ip;
  std::array<std::uint8_t, 16> bytes{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  std::memcpy(bytes.data() + 12, ip.bytes().data(), 4);
  return net::IpAddress::v6(bytes);
}

template <class T>
void put_control(Scratch& scratch, int level, int type, const T& value) noexcept {
  std::memset(scratch.control, 0, sizeof scratch.control);
  scratch.header.msg_control = scratch.control;
  scratch.header.msg_controllen = CMSG_SPACE(sizeof value);
  cmsghdr* control = CMSG_FIRSTHDR(&scratch.header);
  control->cmsg_level = level;
  control->cmsg_type = type;
  control->cmsg_len = CMSG_LEN(sizeof value);
  std::memcpy(CMSG_DATA(control), &value, sizeof value);
}

}  // namespace

msghdr* prepare_receive_from(DatagramIo& io) noexcept {
  Scratch& scratch = make_scratch(io);
  scratch.header.msg_control = scratch.control;
  scratch.header.msg_controllen = sizeof scratch.control;
  return &scratch.header;
}

// A dual-stack socket speaks IPv4 as mapped addresses.
msghdr* prepare_send_to(int fd, DatagramIo& io) noexcept {
  Scratch& scratch = make_scratch(io);
  const bool v6_socket = is_v6_socket(fd);
  net::SocketAddress peer = io.peer;
  if (v6_socket) peer.ip = mapped(peer.ip);
  if (io.to_connected) {
    // A cluster that balances at the socket (cgroup/connect4, sendmsg4) may take another server for
    // an address that is given than the one that the socket is connected to, and hears.
    scratch.header.msg_name = nullptr;
    scratch.header.msg_namelen = 0;
  } else {
    scratch.header.msg_namelen = peer.to_sockaddr(scratch.peer);
  }
  if (!io.local) return &scratch.header;
  if (v6_socket) {
    in6_pktinfo from{};
    std::memcpy(&from.ipi6_addr, mapped(io.local->ip).bytes().data(), 16);
    put_control(scratch, IPPROTO_IPV6, IPV6_PKTINFO, from);
  } else {
    in_pktinfo from{};
    std::memcpy(&from.ipi_spec_dst, io.local->ip.bytes().data(), 4);
    put_control(scratch, IPPROTO_IP, IP_PKTINFO, from);
  }
  return &scratch.header;
}

void Backend::finish_receive_from(DatagramIo& io) const noexcept {
  auto& scratch = *std::launder(reinterpret_cast<Scratch*>(io.scratch.data()));
  if (const auto peer = net::SocketAddress::from_sockaddr(scratch.peer)) io.peer = *peer;
  io.truncated = (scratch.header.msg_flags & MSG_TRUNC) != 0;
  for (cmsghdr* control = CMSG_FIRSTHDR(&scratch.header); control != nullptr;
       control = CMSG_NXTHDR(&scratch.header, control)) {
    const bool v4 = control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_ORIGDSTADDR;
    const bool v6 = control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_ORIGDSTADDR;
    if (!v4 && !v6) continue;
    sockaddr_storage dialled{};
    std::memcpy(&dialled, CMSG_DATA(control), v4 ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
    io.local = net::SocketAddress::from_sockaddr(dialled);
  }
}

}  // namespace mesh::io::internal
