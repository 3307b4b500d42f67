#include "mesh/base/privileges.h"

#include <linux/capability.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <catch2/catch_test_macros.hpp>
#include <fstream>
#include <string>
#include <thread>

namespace mesh {
namespace {

std::string status_of_thread(const std::string& key) {
  std::ifstream file("/proc/thread-self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(key + ":\t")) return line.substr(key.size() + 2);
  }
  return "";
}

bool has_exactly_net_admin() {
  const std::string only = "0000000000001000";  // bit 12
  for (const char* key : {"CapInh", "CapAmb"}) {
    if (status_of_thread(key) != "0000000000000000") return false;
  }
  for (const char* key : {"CapPrm", "CapEff", "CapBnd"}) {
    if (status_of_thread(key) != only) return false;
  }
  return status_of_thread("NoNewPrivs") == "1";
}

// What went wrong, as an exit status, in a process that is given up for it.
int give_up() {
  const std::array kept = {CAP_NET_ADMIN};
  if (!keep_capabilities(kept)) return 1;
  if (!has_exactly_net_admin()) return 2;
  bool of_thread = false;
  std::thread([&] { of_thread = has_exactly_net_admin(); }).join();
  if (!of_thread) return 3;
  if (unshare(CLONE_NEWNET) == 0 || errno != EPERM) return 4;  // needs CAP_SYS_ADMIN
  const std::array more = {CAP_NET_ADMIN, CAP_SYS_ADMIN};
  if (!keep_capabilities(more)) return 5;
  if (!missing_capabilities(kept).empty()) return 8;
  if (missing_capabilities(more) != "CAP_SYS_ADMIN") return 9;
  if (!has_exactly_net_admin()) return 6;  // nothing comes back
  // Nor by executing something as root.
  execl("/bin/grep", "grep", "-qx", "CapEff:\t0000000000001000", "/proc/self/status", nullptr);
  return 7;
}

TEST_CASE("what was given up is gone: on every thread, and whatever is executed") {
  if (geteuid() != 0) SKIP("only root has something to give up");
  const pid_t child = fork();
  if (child == 0) _exit(give_up());
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}

}  // namespace
}  // namespace mesh
