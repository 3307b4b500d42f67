// What we mean to do better, where a recording shows only that it was done worse.

#include <catch2/catch_test_macros.hpp>

#include "mesh/io/timer.h"
#include "test/golden/ztunnel/bench.h"

namespace mesh::ztunnel {
namespace {

using io::Task;
using namespace std::chrono_literals;

// --- do better 10: an upstream that says nothing ---

// A question for A of www.example.com, recursion desired.
std::string question() {
  const char text[] = "\x12\x34\x01\0\0\1\0\0\0\0\0\0\3www\7example\3com\0\0\1\0\1";
  return {text, sizeof text - 1};
}

struct Answered {
  std::string response;
  io::Duration took{};
};

Task<void> ask_over_udp(LittleMesh& mesh, Answered& answered) {
  io::ListenOptions options;
  options.at = {*net::IpAddress::parse("10.78.0.1"), 40000};
  auto socket = io::DatagramSocket::open(*mesh.client_ring, options);
  REQUIRE(socket.has_value());
  const std::string text = question();
  const io::TimePoint begun = mesh.world.now();
  (void)co_await socket->send_to(std::as_bytes(std::span(text)), at("10.96.0.10:53"));
  std::string memory(4096, '\0');
  const auto got = co_await socket->recv_from(std::as_writable_bytes(std::span(memory)));
  if (got) answered.response = memory.substr(0, got->size);
  answered.took = mesh.world.now() - begun;
}

Task<void> ask_over_tcp(LittleMesh& mesh, Answered& answered) {
  io::ConnectOptions options;
  options.to = at("10.96.0.10:53");
  const io::TimePoint begun = mesh.world.now();
  auto socket = co_await io::connect(*mesh.client_ring, options);
  REQUIRE(socket.has_value());
  const std::string text = question();
  const std::string message = std::string{'\0', static_cast<char>(text.size())} + text;
  (void)co_await socket->send_all(std::as_bytes(std::span(message)));
  const auto got = co_await socket->recv_buffer();
  if (got && got->size() > 2) {
    answered.response.assign(reinterpret_cast<const char*>(got->bytes().data()) + 2,
                             got->size() - 2);
  }
  answered.took = mesh.world.now() - begun;
}

// Hears questions, and answers them only if told to.
struct Upstream {
  Upstream(LittleMesh& of, io::Ring& on, bool answer) : mesh(of), ring(on), answers(answer) {
    io::ListenOptions options;
    options.at = {net::IpAddress::v6({}), 53};
    socket.emplace(*io::DatagramSocket::open(ring, options));
    mesh.world.start(ring, run());
    mesh.world.run_for(1ms);
  }
  ~Upstream() {
    ring.post([this] { scope.cancel(); });
    mesh.world.run_for(1s);
  }
  Task<void> run() {
    scope.spawn(hear());
    co_await scope.join();
  }
  Task<void> hear() {
    std::string memory(4096, '\0');
    for (;;) {
      const auto got = co_await socket->recv_from(std::as_writable_bytes(std::span(memory)));
      if (!got) co_return;
      ++heard;
      if (!answers) continue;
      std::string response = memory.substr(0, got->size);
      response[2] = static_cast<char>(response[2] | 0x80);
      (void)co_await socket->send_to(std::as_bytes(std::span(response)), got->peer);
    }
  }
  LittleMesh& mesh;
  io::Ring& ring;
  bool answers;
  std::optional<io::DatagramSocket> socket;
  io::TaskScope scope;
  int heard = 0;
};

unsigned code_of(const std::string& response) {
  return response.size() < 12 ? 99 : static_cast<unsigned char>(response[3]) & 15;
}

TEST_CASE("do better 10: a silent upstream costs two seconds, over UDP and over TCP") {
  LittleMesh mesh(1, {*net::IpAddress::parse("10.78.0.254")});
  const Upstream silent(mesh, *mesh.outside_ring, false);
  for (const bool tcp : {false, true}) {
    INFO((tcp ? "TCP" : "UDP"));
    Answered answered;
    if (tcp) mesh.world.partition(mesh.client, mesh.outside);
    mesh.run(*mesh.client_ring, tcp ? ask_over_tcp(mesh, answered) : ask_over_udp(mesh, answered));
    CHECK(code_of(answered.response) == 2);  // SERVFAIL
    CHECK(answered.response.substr(0, 2) == question().substr(0, 2));
    CHECK(answered.took >= 2s);
    CHECK(answered.took < 2s + 50ms);
  }
  CHECK(silent.heard == 2);  // over UDP, asked twice
  mesh.world.heal(mesh.client, mesh.outside);
  mesh.world.run_for(1s);
}

TEST_CASE("do better 10: when the first upstream is silent, the second answers after one second") {
  LittleMesh mesh(1, {*net::IpAddress::parse("10.78.0.254"), *net::IpAddress::parse("10.78.0.4")});
  const Upstream silent(mesh, *mesh.outside_ring, false);
  const Upstream good(mesh, *mesh.plain_ring, true);
  Answered answered;
  mesh.run(*mesh.client_ring, ask_over_udp(mesh, answered));
  CHECK(code_of(answered.response) == 0);
  CHECK(answered.took >= 1s);
  CHECK(answered.took < 1s + 50ms);
  CHECK(silent.heard == 1);
  CHECK(good.heard == 1);
}

TEST_CASE("do better 10: an upstream whose port is closed costs nothing, the next one answers") {
  for (const bool another : {true, false}) {
    std::vector<net::IpAddress> servers = {*net::IpAddress::parse("10.78.0.254")};
    if (another) servers.push_back(*net::IpAddress::parse("10.78.0.4"));
    LittleMesh mesh(1, servers);
    const Upstream good(mesh, *mesh.plain_ring, true);
    Answered answered;
    mesh.run(*mesh.client_ring, ask_over_udp(mesh, answered));
    CHECK(code_of(answered.response) == (another ? 0 : 2));
    CHECK(answered.took < 50ms);
  }
}

// --- do better 7: the node's own ports ---

// The node listens there in its own namespace; a tunnel leads into a pod's only.
TEST_CASE("do better 7: metrics and readiness of the node cannot be reached through a tunnel") {
  Bench bench;
  LittleMesh& mesh = bench.mesh;
  std::vector<io::Listener> own;
  for (const std::uint16_t port : {15020, 15021, 15000}) {
    io::ListenOptions options;
    options.at = {net::IpAddress::v6({}), port};
    own.push_back(*io::Listener::listen(*mesh.two.ring, options));
  }
  struct Row {
    const char* authority;
    int status;
  };
  for (const Row& row :
       {Row{"10.78.0.2:15020", 503}, Row{"10.78.0.2:15021", 503}, Row{"10.78.0.2:15000", 503},
        Row{"10.0.0.2:15020", 400}, Row{"10.0.0.2:15021", 400}, Row{"127.0.0.1:15020", 400},
        Row{"[::1]:15021", 400}}) {
    INFO(row.authority);
    Tunnelled seen;
    mesh.run(*mesh.peer_ring, ask(mesh, kPeer, row.authority, seen));
    CHECK(seen.status == row.status);
  }
  for (io::Listener& listener : own) {
    std::optional<Result<io::Socket>> came;
    io::TaskScope scope;
    const auto accept_one = [&]() -> Task<void> { came.emplace(co_await listener.accept()); };
    mesh.two.ring->post([&] { scope.spawn(accept_one()); });
    mesh.world.run_for(1s);
    CHECK(!came.has_value());  // nobody waits there
    mesh.two.ring->post([&] { scope.cancel(); });
    mesh.world.run_for(1s);
  }
}

}  // namespace
}  // namespace mesh::ztunnel
