// Sockets in another network namespace, as the proxy opens them in a pod's. Needs root.

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <catch2/generators/catch_generators.hpp>
#include <fstream>
#include <set>
#include <thread>
#include <vector>

#include "mesh/io/descriptor.h"
#include "mesh/io/test_bench.h"
#include "mesh/io/timer.h"

namespace mesh::io {
namespace {

using namespace std::chrono_literals;
using test::bytes;
using test::loopback;
using test::make_ring;
using test::text;

// A namespace of our own with its loopback up; gone when its descriptor is closed.
net::NetworkNamespace make_namespace() {
  int made = -1;
  std::thread([&made] {
    if (unshare(CLONE_NEWNET) != 0) return;
    const Descriptor any(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    request.ifr_flags = IFF_UP;
    if (ioctl(any.get(), SIOCSIFFLAGS, &request) != 0) return;
    made = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  }).join();
  REQUIRE(made >= 0);
  auto adopted = net::NetworkNamespace::adopt(made);
  REQUIRE(adopted.has_value());
  return *std::move(adopted);
}

Task<void> talk_inside(Ring& ring, const net::NetworkNamespace& pod) {
  ListenOptions at;
  at.at = {*net::IpAddress::parse("::"), 8080};
  at.transparent = true;
  at.netns = &pod;
  auto listener = Listener::listen(ring, at);
  REQUIRE(listener.has_value());

  ConnectOptions to;
  to.to = loopback(8080);
  const auto outside = co_await connect(ring, to);
  CHECK(!outside.has_value());  // nobody listens there in our own namespace

  // From an address that is nowhere local, marked, inside the pod.
  to.netns = &pod;
  to.from = *net::IpAddress::parse("127.9.8.7");
  to.mark = 0x111;
  auto client = co_await connect(ring, to);
  REQUIRE(client.has_value());
  auto server = co_await listener->accept();
  REQUIRE(server.has_value());
  CHECK(server->peer_address().ip == *to.from);
  CHECK(server->local_address() == loopback(8080));  // not ::ffff:127.0.0.1
  const auto sent = co_await client->send_all(bytes("inside"));
  CHECK(sent.has_value());
  const auto got = co_await server->recv_buffer();
  REQUIRE(got.has_value());
  CHECK(text(got->bytes()) == "inside");

  // A foreign source of a datagram.
  ListenOptions dns;
  dns.at = {net::IpAddress(), 53};
  dns.transparent = true;
  dns.netns = &pod;
  auto resolver = DatagramSocket::open(ring, dns);
  dns.at = loopback();
  auto asker = DatagramSocket::open(ring, dns);
  REQUIRE(resolver.has_value());
  REQUIRE(asker.has_value());
  const net::SocketAddress dialled{*net::IpAddress::parse("127.3.2.1"), 53};
  const auto asked = co_await asker->send_to(bytes("who"), dialled);
  CHECK(asked.has_value());
  std::array<std::byte, 64> memory;
  const auto question = co_await resolver->recv_from(memory);
  REQUIRE(question.has_value());
  CHECK(question->local == dialled);
  const net::SocketAddress foreign{*net::IpAddress::parse("10.96.0.10"), 53};
  const auto answered = co_await resolver->send_to(bytes("me"), question->peer, foreign);
  CHECK(answered.has_value());
  const auto answer = co_await asker->recv_from(memory);
  REQUIRE(answer.has_value());
  CHECK(answer->peer == foreign);
}

// With few ports to choose from, and more wanted than there are.
Task<void> use_every_port(Ring& ring, const net::NetworkNamespace& pod, std::size_t& used) {
  ListenOptions at;
  at.at = loopback(8080);
  at.backlog = 4096;
  at.netns = &pod;
  auto listener = Listener::listen(ring, at);
  REQUIRE(listener.has_value());
  ConnectOptions to;
  to.to = loopback(8080);
  to.netns = &pod;
  to.from = *net::IpAddress::parse("127.9.8.7");
  std::vector<Socket> held;
  std::set<std::uint16_t> ports;
  for (;;) {
    auto client = co_await connect(ring, to);
    if (!client) {
      CHECK(client.error().os_errno == EADDRNOTAVAIL);
      break;
    }
    auto server = co_await listener->accept();
    REQUIRE(server.has_value());
    ports.insert(client->local_address().port);
    held.push_back(*std::move(client));
    held.push_back(*std::move(server));
  }
  used = ports.size();
  for (Socket& socket : held) socket.reset();
}

TEST_CASE("connections from an address use every port there is", "[netns]") {
  // One that the windows lie in, one that they do not.
  const char* const range = GENERATE("40000 40299", "20000 20099");
  const std::size_t count = std::string_view(range) == "40000 40299" ? 300 : 100;
  auto ring = make_ring();
  const net::NetworkNamespace pod = make_namespace();
  const auto set = pod.run([&] {
    std::ofstream file("/proc/sys/net/ipv4/ip_local_port_range");
    file << range << std::flush;
    REQUIRE(file.good());
  });
  REQUIRE(set.has_value());
  std::size_t used = 0;
  ring->run(use_every_port(*ring, pod, used));
  CHECK(used == count);
}

TEST_CASE("sockets of another namespace: dual stack, foreign source, mark", "[netns]") {
  auto ring = make_ring();
  const net::NetworkNamespace pod = make_namespace();
  ring->run(talk_inside(*ring, pod));
  CHECK(ring->in_flight() == 0);
}

}  // namespace
}  // namespace mesh::io
