#include "mesh/net/netns.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <thread>

#include <catch2/catch_test_macros.hpp>

namespace mesh::net {
namespace {

TEST_CASE("a descriptor that is no network namespace is refused and closed") {
  const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  REQUIRE(fd >= 0);
  const auto adopted = NetworkNamespace::adopt(fd);
  REQUIRE(!adopted);
  CHECK(adopted.error().reason == Reason::kMalformed);
  CHECK(fcntl(fd, F_GETFD) == -1);
}

TEST_CASE("a namespace that is not there is an error") {
  CHECK(!NetworkNamespace::open("/nowhere/at/all"));
}

TEST_CASE("equal namespaces have equal inodes") {
  const auto one = NetworkNamespace::current();
  const auto two = NetworkNamespace::current();
  REQUIRE((one && two));
  CHECK(one->inode() == two->inode());
  CHECK(one->inode() != 0);
}

TEST_CASE("a function runs inside, and the thread comes back", "[root]") {
  if (geteuid() != 0) SKIP("needs root to make a network namespace");
  // A namespace of another thread, kept alive by our descriptor after that thread is gone.
  Result<NetworkNamespace> other = failed(Reason::kSystem, "not made");
  std::thread([&] {
    if (unshare(CLONE_NEWNET) == 0) other = NetworkNamespace::current();
  }).join();
  REQUIRE(other.has_value());
  const auto home = NetworkNamespace::current();
  REQUIRE(home.has_value());
  REQUIRE(other->inode() != home->inode());

  for (int round = 0; round < 3; ++round) {
    std::uint64_t seen = 0;
    REQUIRE(other->run([&] { seen = NetworkNamespace::current()->inode(); }));
    CHECK(seen == other->inode());
    CHECK(NetworkNamespace::current()->inode() == home->inode());
  }
}

}  // namespace
}  // namespace mesh::net
