// What tunnels rely on TCP to do about congestion control, without mesh/io between.

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <catch2/catch_test_macros.hpp>
#include <cerrno>
#include <string>

#include "mesh/io/descriptor.h"

namespace mesh::io {
namespace {

Descriptor tcp_socket() { return Descriptor(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)); }

std::string algorithm(const Descriptor& fd) {
  std::array<char, 17> name{};
  socklen_t size = 16;
  REQUIRE(getsockopt(fd.get(), IPPROTO_TCP, TCP_CONGESTION, name.data(), &size) == 0);
  return name.data();
}

bool use(const Descriptor& fd, std::string_view name) {
  return setsockopt(fd.get(), IPPROTO_TCP, TCP_CONGESTION, name.data(),
                    static_cast<socklen_t>(name.size())) == 0;
}

struct Connected {
  Connected() {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* address = reinterpret_cast<sockaddr*>(&at);
    socklen_t size = sizeof at;
    REQUIRE(use(listener, "reno"));
    REQUIRE(bind(listener.get(), address, size) == 0);
    REQUIRE(listen(listener.get(), 1) == 0);
    REQUIRE(getsockname(listener.get(), address, &size) == 0);
    REQUIRE(connect(client.get(), address, size) == 0);
    server = Descriptor(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    REQUIRE(server.get() >= 0);
  }
  Descriptor listener = tcp_socket();
  Descriptor client = tcp_socket();
  Descriptor server;
};

TEST_CASE("accepted connections inherit their listener's congestion control", "[kernel]") {
  const Connected pair;
  CHECK(algorithm(pair.server) == "reno");
  CHECK(algorithm(pair.client) == algorithm(tcp_socket()));
}

TEST_CASE("a connection takes the system's congestion control at any time", "[kernel]") {
  const Connected pair;
  const std::string own = algorithm(tcp_socket());
  REQUIRE(send(pair.server.get(), "x", 1, MSG_NOSIGNAL) == 1);
  REQUIRE(use(pair.server, own));
  CHECK(algorithm(pair.server) == own);
  CHECK(!use(pair.server, "no-such-thing"));
  CHECK(algorithm(pair.server) == own);
}

TEST_CASE("both ends have measured a round trip once the handshake is over", "[kernel]") {
  const Connected pair;
  for (const Descriptor* end : {&pair.client, &pair.server}) {
    tcp_info info{};
    socklen_t size = sizeof info;
    REQUIRE(getsockopt(end->get(), IPPROTO_TCP, TCP_INFO, &info, &size) == 0);
    CHECK(info.tcpi_min_rtt > 0);
    CHECK(info.tcpi_min_rtt < 1'000'000);  // all ones: not measured
  }
}

TEST_CASE("a socket tells its network namespace to who may enter it", "[kernel]") {
  const Descriptor fd = tcp_socket();
  const Descriptor netns(ioctl(fd.get(), SIOCGSKNS));
  if (netns.get() < 0) CHECK(errno == EPERM);
}

}  // namespace
}  // namespace mesh::io
