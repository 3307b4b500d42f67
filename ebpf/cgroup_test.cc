#include "ebpf/cgroup.h"

#include <unistd.h>

#include <catch2/catch_test_macros.hpp>

namespace mesh::ebpf {
namespace {

TEST_CASE("the cgroup v2 mount is found among the others") {
  CHECK(find_cgroup2_mount("proc /proc proc rw 0 0\n"
                           "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n"
                           "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n") ==
        "/sys/fs/cgroup/unified");
  CHECK(find_cgroup2_mount("cgroup /sys/fs/cgroup2 cgroup rw 0 0\n") == "");
  CHECK(find_cgroup2_mount("cgroup2") == "");
  CHECK(find_cgroup2_mount("cgroup2 /x") == "");
  CHECK(find_cgroup2_mount("") == "");
}

TEST_CASE("a process's cgroup v2 path is the line of hierarchy 0") {
  CHECK(find_cgroup2_path("9:name=systemd:/x\n0::/kubepods/pod1/ztunnel\n") ==
        "/kubepods/pod1/ztunnel");
  CHECK(find_cgroup2_path("0::/\n") == "/");
  CHECK(find_cgroup2_path("10::/no\n3:cpu:/a") == "");
  CHECK(find_cgroup2_path("") == "");
}

TEST_CASE("a process that cannot be seen has no cgroup for us") {
  const auto nobody = cgroup_of_process(0);
  REQUIRE(!nobody);
  CHECK(nobody.error().reason == Reason::kUnreachable);
  CHECK(!cgroup_of_process(1 << 30));
}

TEST_CASE("a folder that is gone, or is another one now, is not populated") {
  CHECK(!is_populated({.id = 1, .path = "/nonexistent"}));
  CHECK(!is_populated({.id = 1, .path = "/proc"}));
}

}  // namespace
}  // namespace mesh::ebpf
