#include "cli/lab/process.h"

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>

#include "cli/lab/files.h"

namespace mesh::cli::lab {

TEST_CASE("a helper's output, and its complaint") {
  CHECK(run({"cat"}, "hello") == "hello");
  CHECK(run({"sh", "-c", "echo bad >&2; exit 3"}).error() == "sh: bad\n");
  CHECK(run({"weft-no-such-program"}).error() == "weft-no-such-program: not found");
}

TEST_CASE("a launched program writes to its log, with a small environment") {
  const std::string log = "/tmp/weft-log-" + random_hex(8);
  const auto pid = launch({.place = {.working_dir = "/tmp"},
                           .argv = {"sh", "-c", "echo $COLOUR; pwd"},
                           .env = {"COLOUR=green"},
                           .log = log});
  REQUIRE(pid);
  int status = 0;
  REQUIRE(::waitpid(*pid, &status, 0) == *pid);
  CHECK(read_file(log) == "green\n/tmp\n");
  CHECK(tail(log, 1) == "/tmp");
  ::unlink(log.c_str());
}

TEST_CASE("a launch that fails names the step, and leaves no process") {
  const auto missing = launch({.argv = {"weft-no-such-program"}});
  REQUIRE_FALSE(missing);
  CHECK(missing.error().starts_with("start weft-no-such-program: "));
  const auto nowhere = launch({.place = {.netns = "/run/netns/weft-nowhere"}, .argv = {"true"}});
  REQUIRE_FALSE(nowhere);
  CHECK(nowhere.error().starts_with("open network namespace /run/netns/weft-nowhere: "));
  CHECK(::waitpid(-1, nullptr, WNOHANG) == -1);
}

}  // namespace mesh::cli::lab
