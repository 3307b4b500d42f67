// Sockets of the kernel: what is done at once, without io_uring.

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "mesh/io/backend.h"
#include "mesh/io/descriptor.h"
#include "mesh/io/uring/congestion.h"
#include "mesh/io/uring/state.h"

namespace mesh::io::internal {
namespace {

// linux/in6.h; glibc's headers of the floor lack it.
constexpr int kIpv6Freebind = 78;

bool set_option(int fd, int level, int name, int value) noexcept {
  return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

// What is not finished is reset when the last descriptor goes.
void linger_zero(int fd) noexcept {
  const linger now{.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

void linger_not(int fd) noexcept {
  const linger off{.l_onoff = 0, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &off, sizeof off);
}

// 0, or the errno.
int set_transparent(int fd, bool v6) noexcept {
  if (v6 && !set_option(fd, SOL_IPV6, IPV6_TRANSPARENT, 1)) return errno;
  if (!v6 && !set_option(fd, SOL_IP, IP_TRANSPARENT, 1)) return errno;
  return 0;
}

// A source that need not be local. Without the privilege the source must be local, and bind()
// says so when it is not.
int set_source(int fd, bool v6) noexcept {
  set_option(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1);
  const int error = set_transparent(fd, v6);
  if (error == EPERM) return 0;
  if (error != 0) return error;
  const bool free =
      v6 ? set_option(fd, SOL_IPV6, kIpv6Freebind, 1) : set_option(fd, SOL_IP, IP_FREEBIND, 1);
  return free ? 0 : errno;
}

int set_up_bound(int fd, const SocketSpec& spec) noexcept {
  if (!set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1)) return errno;
  if (spec.reuse_port && !set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1)) return errno;
  if (spec.family_v6 && !set_option(fd, SOL_IPV6, IPV6_V6ONLY, 0)) return errno;
  return spec.transparent ? set_transparent(fd, spec.family_v6) : 0;
}

bool set_keepalive(int fd, const TcpKeepalive& wanted) noexcept {
  const auto set = [fd](int name, unsigned value) {
    return value == 0 || set_option(fd, SOL_TCP, name, static_cast<int>(value));
  };
  return set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1) && set(TCP_KEEPIDLE, wanted.idle_s) &&
         set(TCP_KEEPINTVL, wanted.interval_s) && set(TCP_KEEPCNT, wanted.probes);
}

int set_up(int fd, const SocketSpec& spec) noexcept {
  if (spec.mark) {
    const auto mark = static_cast<int>(*spec.mark);
    if (!set_option(fd, SOL_SOCKET, SO_MARK, mark)) return errno;
  }
  if (spec.reset_unless_finished) linger_zero(fd);  // accepted connections inherit it
  if (spec.same_host) set_congestion_control(fd, kUnpacedEverywhere);
  if (!spec.congestion_control.empty()) set_congestion_control(fd, spec.congestion_control);
  if (spec.keepalive && !set_keepalive(fd, *spec.keepalive)) return errno;
  switch (spec.type) {
    case SocketType::kStream:
      if (!set_option(fd, SOL_TCP, TCP_NODELAY, 1)) return errno;
      return spec.bind_source ? set_source(fd, spec.family_v6) : 0;
    case SocketType::kListener:
      // Accepted connections inherit it.
      if (!set_option(fd, SOL_TCP, TCP_NODELAY, 1)) return errno;
      return set_up_bound(fd, spec);
    case SocketType::kDatagram:
      if (!set_option(fd, SOL_IP, IP_RECVORIGDSTADDR, 1)) return errno;
      if (spec.family_v6 && !set_option(fd, SOL_IPV6, IPV6_RECVORIGDSTADDR, 1)) return errno;
      return set_up_bound(fd, spec);
  }
  return EINVAL;
}

Result<int> open_here(const SocketSpec& spec) noexcept {
  const bool datagram = spec.type == SocketType::kDatagram;
  Descriptor fd(::socket(spec.family_v6 ? AF_INET6 : AF_INET,
                         (datagram ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0));
  if (!fd) return failed_with_errno(errno, "socket");
  if (const int error = set_up(fd.get(), spec); error != 0) {
    return failed_with_errno(error, "set socket option");
  }
  if (spec.bind_source) {
    sockaddr_storage address;
    const socklen_t length = spec.bind.to_sockaddr(address);
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), length) < 0) {
      return failed_with_errno(errno, "bind");
    }
  }
  if (spec.type == SocketType::kListener && ::listen(fd.get(), spec.backlog) < 0) {
    return failed_with_errno(errno, "listen");
  }
  return fd.release();
}

template <class GetName>
net::SocketAddress name_of(int fd, GetName get_name) noexcept {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (get_name(fd, reinterpret_cast<sockaddr*>(&storage), &length) < 0) return {};
  return net::SocketAddress::from_sockaddr(storage).value_or(net::SocketAddress());
}

}  // namespace

Result<int> Backend::open_socket(const SocketSpec& spec) noexcept {
  if (spec.netns == nullptr) return open_here(spec);
  Result<int> opened = failed(Reason::kSystem, "socket");
  TRY_DO(spec.netns->run([&] { opened = open_here(spec); }));
  return opened;
}

bool Backend::choose_port_among(int handle, std::optional<PortWindow> ports) noexcept {
  if (!uring_features().port_range) return false;
  // The kernel ignores what is outside of the namespace's own range.
  const std::uint32_t range =
      ports ? std::uint32_t{ports->last} << 16 | ports->first : std::uint32_t{0};
  return setsockopt(handle, SOL_IP, kLocalPortRange, &range, sizeof range) == 0;
}

void Backend::close(int handle, CloseHow how) noexcept {
  if (how == CloseHow::kReset) linger_zero(handle);
  ::close(handle);
}

Result<Done> Backend::finish_sending(int handle) noexcept {
  // What was accepted for sending is delivered from now on, also by a close.
  linger_not(handle);
  if (::shutdown(handle, SHUT_WR) < 0) {
    // The peer's reset came first.
    if (errno == ENOTCONN) return failed_with_errno(ECONNRESET, "shutdown");
    return failed_with_errno(errno, "shutdown");
  }
  return Done{};
}

Result<Done> Backend::hear_only(int handle, const net::SocketAddress& peer) noexcept {
  // Without it only a closed port is told of, not an unreachable host or network.
  const bool v4 = set_option(handle, SOL_IP, IP_RECVERR, 1);
  if (!v4 || (peer.ip.is_v6() && !set_option(handle, SOL_IPV6, IPV6_RECVERR, 1))) {
    return failed_with_errno(errno, "set socket option");
  }
  sockaddr_storage address;
  const socklen_t length = peer.to_sockaddr(address);
  if (::connect(handle, reinterpret_cast<const sockaddr*>(&address), length) < 0) {
    return failed_with_errno(errno, "connect");
  }
  return Done{};
}

// Dissolving the association sends the RST now; close() would not as long as the kernel works on
// an operation of this socket.
void Backend::abort(int handle) noexcept {
  linger_zero(handle);
  const sockaddr nobody{.sa_family = AF_UNSPEC, .sa_data = {}};
  if (::connect(handle, &nobody, sizeof nobody) < 0) ::shutdown(handle, SHUT_RDWR);
}

net::SocketAddress Backend::local_address(int handle) const noexcept {
  return name_of(handle, ::getsockname);
}
net::SocketAddress Backend::peer_address(int handle) const noexcept {
  return name_of(handle, ::getpeername);
}

std::optional<std::size_t> Backend::readable(int handle) const noexcept {
  std::byte first;
  const ssize_t size = ::recv(handle, &first, 1, MSG_PEEK | MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
  return size > 0 ? static_cast<std::size_t>(size) : 0;
}

}  // namespace mesh::io::internal
