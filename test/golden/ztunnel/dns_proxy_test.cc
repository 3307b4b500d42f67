// The DNS proxy as a pod meets it: over TCP, and before control has told of the mesh.

#include <catch2/catch_test_macros.hpp>

#include "mesh/io/timer.h"
#include "mesh/workload/directory_builder.h"
#include "test/golden/ztunnel/bench.h"
#include "test/support/eventually.h"
#include "ztunnel/dns_proxy.h"

namespace mesh::ztunnel {
namespace {

using io::Task;
using namespace std::chrono_literals;

// A question for A of srv.app.svc.cluster.local, without and with its length in front.
std::string question(std::uint16_t id) {
  const char text[] = "\x01\0\0\1\0\0\0\0\0\0\3srv\3app\3svc\7cluster\5local\0\0\1\0\1";
  return std::string{static_cast<char>(id >> 8), static_cast<char>(id)} +
         std::string(text, sizeof text - 1);
}
std::string framed(const std::string& message) {
  return std::string{static_cast<char>(message.size() >> 8), static_cast<char>(message.size())} +
         message;
}
std::uint16_t id_of(std::string_view message) {
  return static_cast<std::uint16_t>(static_cast<unsigned char>(message[0]) << 8 |
                                    static_cast<unsigned char>(message[1]));
}
unsigned code_of(std::string_view message) { return static_cast<unsigned char>(message[3]) & 15; }

struct Conversation {
  std::vector<std::uint16_t> ids;  // of the answers
  std::string end;
  io::Duration took{};
};

Task<void> talk_tcp(LittleMesh& mesh, std::string said, Conversation& heard) {
  const io::TimePoint begun = mesh.world.now();
  auto socket = co_await io::connect(*mesh.client_ring, {.to = at("10.96.0.10:53")});
  REQUIRE(socket.has_value());
  if (!said.empty()) {
    const auto sent = co_await socket->send_all(std::as_bytes(std::span(said)));
    CHECK(sent.has_value());
  }
  std::string all;
  for (;;) {
    const auto got = co_await socket->recv_buffer();
    if (!got) heard.end = reason_name(got.error().reason);
    if (!got) break;
    if (got->empty()) heard.end = "end";
    if (got->empty()) break;
    all.append(reinterpret_cast<const char*>(got->bytes().data()), got->size());
    while (all.size() > 2 && all.size() >= 2u + id_of(all)) {
      heard.ids.push_back(id_of(all.substr(2)));
      all.erase(0, 2u + id_of(all));
    }
  }
  heard.took = mesh.world.now() - begun;
}

TEST_CASE("golden: questions over one TCP connection are answered in their order") {
  LittleMesh mesh(1, {*net::IpAddress::parse("10.78.0.254")});
  Conversation heard;
  mesh.run(*mesh.client_ring, talk_tcp(mesh, framed(question(1)) + framed(question(2)), heard));
  CHECK(heard.ids == std::vector<std::uint16_t>{1, 2});
}

TEST_CASE("golden: a TCP connection that asks nothing ends after five seconds") {
  LittleMesh mesh(1, {*net::IpAddress::parse("10.78.0.254")});
  for (const std::string& said : {std::string(), framed(question(1)).substr(0, 9)}) {
    Conversation heard;
    mesh.run(*mesh.client_ring, talk_tcp(mesh, said, heard));
    CHECK(heard.ids.empty());
    CHECK(heard.took >= 5s);
    CHECK(heard.took < 5s + 100ms);
  }
}

struct Answers {
  std::size_t refused = 0;
  std::size_t given = 0;
};

Task<void> hear(LittleMesh& mesh, io::DatagramSocket& socket, Answers& answers) {
  std::string memory(4096, '\0');
  for (;;) {
    const auto got =
        co_await io::with_deadline(*mesh.client_ring, 2s, "answer",
                                   socket.recv_from(std::as_writable_bytes(std::span(memory))));
    if (!got) co_return;
    (code_of(memory) == 2 ? answers.refused : answers.given) += 1;
  }
}

Task<void> ask_many(LittleMesh& mesh, std::size_t count, Answers& answers) {
  io::ListenOptions options;
  options.at = {*net::IpAddress::parse("10.78.0.1"), 40000};
  auto socket = io::DatagramSocket::open(*mesh.client_ring, options);
  REQUIRE(socket.has_value());
  io::TaskScope scope;
  scope.spawn(hear(mesh, *socket, answers));
  for (std::size_t id = 0; id < count; ++id) {
    const std::string text = question(static_cast<std::uint16_t>(id));
    (void)co_await socket->send_to(std::as_bytes(std::span(text)), at("10.96.0.10:53"));
    (void)co_await test::pass(*mesh.client_ring, 1ms);  // nothing is lost on the way
  }
  co_await scope.join();
}

TEST_CASE("limit: before the first snapshot so many questions wait, further ones are refused") {
  LittleMesh mesh(1, {*net::IpAddress::parse("10.78.0.254")});
  mesh.publish(workload::DirectoryBuilder(nullptr).build());
  const std::size_t waiting_max = mesh.one.config.workers * kDnsForwardsMax;
  Answers answers;
  mesh.world.start(*mesh.client_ring, ask_many(mesh, waiting_max + 88, answers));
  mesh.world.run_for(1s);
  CHECK(answers.refused >= 88);
  CHECK(answers.given == 0);
  const std::size_t refused = answers.refused;
  mesh.publish(recorded_world());
  mesh.world.run_for(5s);
  CHECK(answers.refused == refused);
  CHECK(answers.given > 0);
  CHECK(answers.given <= waiting_max);
}

}  // namespace
}  // namespace mesh::ztunnel
