#include "ebpf/seqpacket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <catch2/catch_test_macros.hpp>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace mesh::ebpf {
namespace {

std::string fresh_path() {
  char name[] = "/tmp/weft-test-XXXXXX";
  REQUIRE(mkdtemp(name) != nullptr);
  return std::string(name) + "/socket";
}

TEST_CASE("a packet arrives with its descriptor and with who sent it") {
  const std::string path = fresh_path();
  const auto listener = listen_seqpacket(path);
  REQUIRE(listener);
  struct stat status{};
  REQUIRE(stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);

  const UniqueFd caller = dial_seqpacket(path);
  const auto peer = accept_peer(listener->get());
  REQUIRE(peer);
  CHECK(peer->uid == getuid());
  CHECK(peer->pid == getpid());
  const std::byte text[] = {std::byte{'h'}, std::byte{'i'}};
  REQUIRE(send_packet(caller.get(), text, caller.get()));
  const auto packet = receive_packet(peer->socket.get(), 100);
  REQUIRE(packet);
  CHECK(packet->bytes.size() == 2);
  CHECK(packet->descriptors.size() == 1);
  CHECK(!packet->truncated);
  const auto nothing = receive_packet(peer->socket.get(), 100);
  REQUIRE(!nothing);
  CHECK(nothing.error().os_errno == EAGAIN);
  std::filesystem::remove_all(std::filesystem::path(path).parent_path());
}

TEST_CASE("a packet beyond the limit is known to be cut") {
  int ends[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
  const UniqueFd near(ends[0]), far(ends[1]);
  REQUIRE(send_packet(near.get(), std::vector<std::byte>(101)));
  CHECK(receive_packet(far.get(), 100)->truncated);
}

TEST_CASE("an abandoned socket file is replaced; one in use, or another file, is not") {
  const std::string path = fresh_path();
  {
    REQUIRE(listen_seqpacket(path));
  }  // closed, the file stays
  const auto listener = listen_seqpacket(path);
  REQUIRE(listener);
  const auto second = listen_seqpacket(path);
  REQUIRE(!second);
  CHECK(second.error().os_errno == EADDRINUSE);
  CHECK(dial_seqpacket(path));

  const std::string file = path + ".txt";
  std::ofstream(file) << "mine";
  CHECK(!listen_seqpacket(file));
  CHECK(std::filesystem::file_size(file) == 4);
  CHECK(!listen_seqpacket(std::string(200, 'x')));
  std::filesystem::remove_all(std::filesystem::path(path).parent_path());
}

}  // namespace
}  // namespace mesh::ebpf
