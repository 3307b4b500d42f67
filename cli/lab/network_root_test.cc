// What needs root: namespaces, control groups, and processes in them.

#include <net/if.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>

#include "cli/lab/cgroup.h"
#include "cli/lab/files.h"
#include "cli/lab/network.h"
#include "cli/lab/probe.h"
#include "cli/lab/process.h"

namespace mesh::cli::lab {
namespace {

struct OneNetns {
  std::string name = "weft-test-" + random_hex(6);
  OneNetns() { REQUIRE(make_netns(name)); }
  ~OneNetns() { CHECK(remove_netns(name)); }
};

struct OneCgroup {
  std::string path;
  OneCgroup() {
    const auto root = cgroup_root();
    REQUIRE(root);
    path = *root + "/weft-test-" + random_hex(6);
    REQUIRE(make_cgroup(path + "/inner"));
  }
  ~OneCgroup() {
    CHECK(remove_cgroup(path));
    CHECK_FALSE(exists(path));
  }
};

}  // namespace

TEST_CASE("a namespace is made once, entered and left, and removed without a trace") {
  std::string name;
  {
    OneNetns netns;
    name = netns.name;
    CHECK_FALSE(make_netns(name));
    REQUIRE(run({"ip", "-n", name, "link", "add", "inside0", "type", "bridge"}));
    bool seen = false;
    CHECK(inside_netns(name, [&]() -> Outcome<Done> {
      seen = ::if_nametoindex("inside0") != 0;
      return Done{};
    }));
    CHECK(seen);
    CHECK(::if_nametoindex("inside0") == 0);
  }
  CHECK_FALSE(exists(netns_path(name)));
  CHECK(read_file("/proc/mounts")->find(name) == std::string::npos);
  CHECK(remove_netns(name));  // again: nothing to do
}

TEST_CASE("ending a control group ends everything that was started in it") {
  OneCgroup group;
  const auto pid = launch({.place = {.cgroup = group.path + "/inner"},
                           .argv = {"sh", "-c", "sleep 1000 & sleep 1000"},
                           .env = {},
                           .log = ""});
  REQUIRE(pid);
  CHECK(cgroup_processes(group.path + "/inner").size() >= 1);
  CHECK(kill_cgroup(group.path));
  int status = 0;
  REQUIRE(::waitpid(*pid, &status, 0) == *pid);
  CHECK(WIFSIGNALED(status));
  CHECK(cgroup_processes(group.path + "/inner").empty());
}

TEST_CASE("a process sees its own resolver, and nobody else does") {
  OneNetns netns;
  const std::string own = "/tmp/weft-resolv-" + random_hex(6);
  const std::string log = own + ".log";
  REQUIRE(write_file(own, "nameserver 10.96.0.10\n"));
  const auto before = read_file("/etc/resolv.conf");
  const auto pid = launch({.place = {.netns = netns_path(netns.name), .resolv_conf = own},
                           .argv = {"cat", "/etc/resolv.conf"},
                           .env = {},
                           .log = log});
  REQUIRE(pid);
  ::waitpid(*pid, nullptr, 0);
  CHECK(read_file(log) == "nameserver 10.96.0.10\n");
  CHECK(read_file("/etc/resolv.conf") == before);
  ::unlink(own.c_str());
  ::unlink(log.c_str());
}

TEST_CASE("probes tell who listens and who does not") {
  OneNetns netns;
  ProbeTarget target{.netns = netns.name, .address = "127.0.0.1"};
  CHECK(probe_once({}, target));
  CHECK_FALSE(probe_once({.kind = Probe::Kind::kTcp, .port = 7}, target));
  CHECK_FALSE(probe_once({.kind = Probe::Kind::kHttp, .port = 7}, target));
  CHECK(probe_once({.kind = Probe::Kind::kExec, .command = {"true"}}, target));
  CHECK_FALSE(probe_once({.kind = Probe::Kind::kExec, .command = {"false"}}, target));
  CHECK_FALSE(probe_once({.kind = Probe::Kind::kExec, .command = {"sleep", "60"}}, target));
}

}  // namespace mesh::cli::lab
