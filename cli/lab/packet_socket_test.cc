#include "cli/lab/packet_socket.h"

#include <unistd.h>

#include <catch2/catch_test_macros.hpp>

#include "cli/lab/files.h"

namespace mesh::cli::lab {

TEST_CASE("packets stay apart, and the limit is one packet's") {
  const std::string path = "/tmp/weft-socket-" + random_hex(8);
  auto listener = PacketSocket::listen_at(path);
  REQUIRE(listener);
  auto client = PacketSocket::connect_to(path);
  REQUIRE(client);
  auto server = listener->accept();
  REQUIRE(server);
  REQUIRE(client->send("one"));
  REQUIRE(client->send("two", 1));
  CHECK(server->receive(std::chrono::milliseconds(1000)) == "one");
  CHECK(server->receive(std::chrono::milliseconds(1000)) == "two");
  CHECK_FALSE(client->send(std::string(kPacketBytesMax + 1, 'x')));
  REQUIRE(client->send(std::string(kPacketBytesMax, 'x')));
  CHECK(server->receive(std::chrono::milliseconds(1000))->size() == kPacketBytesMax);
  CHECK(server->receive(std::chrono::milliseconds(1)).error() == "no answer in time");
  ::unlink(path.c_str());
}

TEST_CASE("a socket that nobody listens on is named") {
  const auto socket = PacketSocket::connect_to("/tmp/weft-no-such-socket");
  REQUIRE_FALSE(socket);
  CHECK(socket.error().starts_with("connect to /tmp/weft-no-such-socket: "));
  CHECK_FALSE(PacketSocket::connect_to("/tmp/" + std::string(200, 'x')));
}

}  // namespace mesh::cli::lab
