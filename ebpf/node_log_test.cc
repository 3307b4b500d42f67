#include "ebpf/node_log.h"

#include <catch2/catch_test_macros.hpp>
#include <cerrno>

namespace mesh::ebpf {
namespace {

TEST_CASE("an error names the step, the kernel's reason and what to do") {
  const auto in_words = [](int error) {
    return explain(Error{.reason = Reason::kSystem, .os_errno = error, .during = "load programs"});
  };
  CHECK(in_words(EPERM).starts_with("load programs: Operation not permitted; run as root, or"));
  CHECK(in_words(EROFS).find("run the agent privileged") != std::string::npos);
  CHECK(in_words(EADDRINUSE).find("another process listens there") != std::string::npos);
  CHECK(in_words(ESRCH).find("CONFIG_DEBUG_INFO_BTF") != std::string::npos);
  CHECK(in_words(EINVAL).find("Linux 6.1 or newer") != std::string::npos);
  CHECK(in_words(ENOTCONN) == "load programs: Transport endpoint is not connected");
  CHECK(explain(Error{.reason = Reason::kExhausted, .during = "exempt cgroups"}) ==
        "exempt cgroups: exhausted");
}

}  // namespace
}  // namespace mesh::ebpf
