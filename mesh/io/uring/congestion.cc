#include "mesh/io/uring/congestion.h"

// Not netinet/tcp.h: its tcp_info ends before what is read here.
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>

#include "mesh/io/backend.h"
#include "mesh/io/descriptor.h"
#include "mesh/io/kernel_features.h"

namespace mesh::io {
namespace internal {
namespace {

constexpr std::size_t kNameMax = 16;  // TCP_CA_NAME_MAX, of no header

Descriptor fresh_socket() noexcept {
  return Descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

std::string name_of(int fd) {
  std::array<char, kNameMax + 1> name{};
  socklen_t size = kNameMax;
  if (getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name.data(), &size) < 0) return {};
  return name.data();
}

// What a new socket has in the network namespace of `fd`.
std::string system_name(int fd) {
  std::string name;
  const auto ask = [&] { name = name_of(fresh_socket().get()); };
  const int netns = ioctl(fd, SIOCGSKNS);
  if (netns < 0) {  // without the privilege to leave our namespace, the socket is of ours
    ask();
  } else if (const auto home = net::NetworkNamespace::adopt(netns)) {
    (void)home->run(ask);
  }
  return name;
}

}  // namespace

bool set_congestion_control(int fd, std::string_view name) noexcept {
  return setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name.data(),
                    static_cast<socklen_t>(name.size())) == 0;
}

std::optional<Duration> Backend::shortest_round_trip(int handle) const noexcept {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (getsockopt(handle, IPPROTO_TCP, TCP_INFO, &info, &size) < 0) return std::nullopt;
  // All ones until there is a sample.
  if (info.tcpi_min_rtt == 0 || info.tcpi_min_rtt == ~0U) return std::nullopt;
  return std::chrono::microseconds(info.tcpi_min_rtt);
}

void Backend::use_congestion_control(int handle, std::string_view name) noexcept {
  if (name.empty()) {
    set_congestion_control(handle, system_name(handle));
  } else {
    set_congestion_control(handle, name);
  }
}

std::string Backend::congestion_control(int handle) const { return name_of(handle); }

}  // namespace internal

bool has_congestion_control(std::string_view name) {
  return internal::set_congestion_control(internal::fresh_socket().get(), name);
}

std::string_view unpaced_congestion_control() {
  static const bool paced = internal::name_of(internal::fresh_socket().get()).starts_with("bbr");
  return paced ? internal::kUnpacedEverywhere : std::string_view();
}

}  // namespace mesh::io
