// The limits of ztunnel's README that need a node to be reached. Those of mesh/hbone, of the
// agent's messages and of the log are tested where they are.

#include <catch2/catch_test_macros.hpp>

#include <array>

#include "mesh/io/timer.h"
#include "test/golden/ztunnel/bench.h"
#include "test/support/eventually.h"
#include "ztunnel/dns_proxy.h"

namespace mesh::ztunnel {
namespace {

using io::Task;
using namespace std::chrono_literals;

// Connections that stay open as long as they are left alone.
struct Crowd {
  Crowd(LittleMesh& of, io::Ring& on) : mesh(of), ring(on) {}
  ~Crowd() { leave(); }

  void dial(const char* to, std::size_t count) {
    ring.post([this, to = at(to), count] {
      for (std::size_t i = 0; i < count; ++i) scope.spawn(hold(to));
    });
    mesh.world.run_for(1s);
  }
  void leave() {
    ring.post([this] { scope.cancel(); });
    mesh.world.run_for(1s);
  }
  Task<void> hold(net::SocketAddress to) {
    auto socket = co_await io::connect(ring, {.to = to});
    if (!socket) co_return;
    const auto end = co_await socket->recv_buffer();
    if (!end && end.error().reason == Reason::kPeerReset) ++reset;
  }
  std::size_t open() const { return scope.size(); }

  LittleMesh& mesh;
  io::Ring& ring;
  io::TaskScope scope;
  std::size_t reset = 0;
};

// A connection to pod two, and the node that may refuse it: out of a pod, into one by a tunnel, and
// in plaintext.
struct Way {
  TestNode& limited;
  io::Ring& from;
};
std::array<Way, 3> ways(LittleMesh& mesh) {
  return {{{mesh.one, *mesh.client_ring},
           {mesh.two, *mesh.client_ring},
           {mesh.two, *mesh.outside_ring}}};
}

TEST_CASE("limit: connections of a pod, out of it, into it by tunnels, and in plaintext") {
  constexpr std::size_t kMax = 5;
  constexpr std::size_t kDialled = 40;
  Bench bench;
  LittleMesh& mesh = bench.mesh;
  for (const Way& way : ways(mesh)) {
    const std::size_t usual = way.limited.config.pod_connections_max;
    way.limited.config.pod_connections_max = kMax;
    Crowd crowd(mesh, way.from);
    crowd.dial("10.78.0.2:7000", kDialled);
    const std::size_t allowed = kMax * way.limited.config.workers;
    CHECK(crowd.open() <= allowed);
    CHECK(crowd.open() >= kMax);
    CHECK(crowd.reset == kDialled - crowd.open());
    CHECK(way.limited.metrics().find("reason=\"exhausted\"") != std::string::npos);
    // Room again once they have left.
    crowd.leave();
    way.limited.config.pod_connections_max = usual;
    Crowd later(mesh, way.from);
    later.dial("10.78.0.2:7000", 1);
    CHECK(later.open() == 1);
  }
}

TEST_CASE("limit: while memory is short nothing is begun, and what is open goes on") {
  Bench bench;
  LittleMesh& mesh = bench.mesh;
  for (const Way& way : ways(mesh)) {
    const auto set = [&](bool is_short) {
      way.limited.ring->post([&, is_short] { way.limited.node->set_memory_short(is_short); });
    };
    Crowd crowd(mesh, way.from);
    crowd.dial("10.78.0.2:7000", 3);
    REQUIRE(crowd.open() == 3);
    set(true);
    crowd.dial("10.78.0.2:7000", 4);
    CHECK(crowd.open() == 3);
    CHECK(crowd.reset == 4);
    CHECK(way.limited.metrics().find("reason=\"exhausted\"") != std::string::npos);
    set(false);
    crowd.dial("10.78.0.2:7000", 2);
    CHECK(crowd.open() == 5);
  }
}

Task<void> add_pod(TestNode& node, io::sim::Host& host, std::string& problem) {
  const std::shared_ptr<const net::NetworkNamespace> netns(&host.netns(), [](const auto*) {});
  (void)co_await node.node->add_pod(
      {.uid = "u9", .name = "peer-1", .ns = "web", .service_account = "peer"}, netns, problem);
}

TEST_CASE("limit: pods of a node") {
  LittleMesh mesh;
  mesh.one.config.pods_max = 1;
  std::string problem;
  io::TaskScope scope;
  mesh.one.ring->post([&] { scope.spawn(add_pod(mesh.one, mesh.peer, problem)); });
  mesh.world.run_for(100ms);
  REQUIRE(scope.size() == 0);
  CHECK(problem == "more pods than this proxy serves");
  CHECK(mesh.one.node->pods().size() == 1);
}

Task<void> list(TestNode& node, std::size_t limit, std::size_t& listed) {
  listed = (co_await node.node->connections(limit)).size();
}

TEST_CASE("limit: connections that the dump lists") {
  Bench bench;
  Crowd crowd(bench.mesh, *bench.mesh.client_ring);
  crowd.dial("10.78.0.2:7000", 8);
  REQUIRE(crowd.open() == 8);
  for (const std::size_t limit : {std::size_t{3}, std::size_t{100}}) {
    std::size_t listed = 0;
    io::TaskScope scope;
    bench.mesh.one.ring->post([&] { scope.spawn(list(bench.mesh.one, limit, listed)); });
    bench.mesh.world.run_for(100ms);
    REQUIRE(scope.size() == 0);
    CHECK(listed == std::min<std::size_t>(limit, 8));
  }
}

// --- DNS ---

// A question for A of a name that is not the mesh's.
std::string question(std::uint16_t id) {
  const char text[] = "\x01\0\0\1\0\0\0\0\0\0\3www\7example\3com\0\0\1\0\1";
  return std::string{static_cast<char>(id >> 8), static_cast<char>(id)} +
         std::string(text, sizeof text - 1);
}

struct Refusals {
  std::size_t count = 0;
};

Task<void> count_refusals(io::Ring& ring, io::DatagramSocket& socket, Refusals& refused) {
  std::string memory(4096, '\0');
  for (;;) {
    const auto got = co_await io::with_deadline(
        ring, 5s, "answer", socket.recv_from(std::as_writable_bytes(std::span(memory))));
    if (!got) co_return;
    if ((memory[3] & 15) == 2) ++refused.count;
  }
}

Task<void> ask_many(LittleMesh& mesh, std::size_t count, Refusals& refused) {
  io::ListenOptions options;
  options.at = {*net::IpAddress::parse("10.78.0.1"), 40000};
  auto socket = io::DatagramSocket::open(*mesh.client_ring, options);
  REQUIRE(socket.has_value());
  io::TaskScope scope;
  scope.spawn(count_refusals(*mesh.client_ring, *socket, refused));
  for (std::size_t id = 0; id < count; ++id) {
    const std::string text = question(static_cast<std::uint16_t>(id));
    (void)co_await socket->send_to(std::as_bytes(std::span(text)), at("10.96.0.10:53"));
    (void)co_await test::pass(*mesh.client_ring, 100us);  // nothing is lost on the way
  }
  co_await scope.join();
}

TEST_CASE("limit: so many questions are forwarded at once, further ones are refused") {
  LittleMesh mesh(1, {*net::IpAddress::parse("10.78.0.254")});
  // Hears, and says nothing.
  io::ListenOptions options;
  options.at = {net::IpAddress::v6({}), 53};
  auto silent = io::DatagramSocket::open(*mesh.outside_ring, options);
  REQUIRE(silent.has_value());
  const std::size_t forwarded_max = mesh.one.config.workers * kDnsForwardsMax;
  Refusals refused;
  mesh.world.start(*mesh.client_ring, ask_many(mesh, forwarded_max + 88, refused));
  mesh.world.run_for(900ms);
  CHECK(refused.count >= 88);
  CHECK(refused.count < forwarded_max);
  mesh.world.run_for(10s);
  CHECK(refused.count == forwarded_max + 88);
}

TEST_CASE("limit: connections that ask for names at once") {
  LittleMesh mesh(1, {*net::IpAddress::parse("10.78.0.254")});
  const std::size_t most = mesh.one.config.workers * kDnsTcpMax;
  Crowd crowd(mesh, *mesh.client_ring);
  crowd.dial("10.96.0.10:53", most + 40);
  CHECK(crowd.reset >= 40);
  CHECK(crowd.open() <= most);
  CHECK(crowd.open() >= kDnsTcpMax);
  mesh.world.run_for(5s);
  CHECK(crowd.open() == 0);  // they asked nothing
}

}  // namespace
}  // namespace mesh::ztunnel
