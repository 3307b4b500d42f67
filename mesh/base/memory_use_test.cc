// What a process is told of its cgroups' memory, from files made up here.

#include <catch2/catch_test_macros.hpp>

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "mesh/base/memory_use.h"

namespace mesh {
namespace {

constexpr std::uint64_t kMiB = 1024 * 1024;

// A root with /proc/self/cgroup and the files of cgroups, gone at the end.
class Root {
 public:
  explicit Root(const std::string& cgroups)
      : path_(std::filesystem::temp_directory_path() /
              ("weft-memory-" + std::to_string(::getpid()))) {
    write("proc/self/cgroup", cgroups);
  }
  ~Root() { std::filesystem::remove_all(path_); }

  void write(const std::string& file, const std::string& text) {
    std::filesystem::create_directories((path_ / file).parent_path());
    std::ofstream(path_ / file) << text;
  }
  void v2(const std::string& folder, const std::string& limit, std::uint64_t used) {
    write("sys/fs/cgroup" + folder + "/memory.max", limit + "\n");
    write("sys/fs/cgroup" + folder + "/memory.current", std::to_string(used) + "\n");
  }
  std::optional<MemoryUse> read() const { return read_memory_use(path_.string()); }

 private:
  std::filesystem::path path_;
};

}  // namespace

TEST_CASE("memory is short when an eighth is left; of small limits 8 MiB or a quarter") {
  CHECK_FALSE(MemoryUse{.used = 895 * kMiB, .limit = 1024 * kMiB}.is_short());
  CHECK(MemoryUse{.used = 896 * kMiB, .limit = 1024 * kMiB}.is_short());
  CHECK_FALSE(MemoryUse{.used = 39 * kMiB, .limit = 48 * kMiB}.is_short());
  CHECK(MemoryUse{.used = 40 * kMiB, .limit = 48 * kMiB}.is_short());
  CHECK_FALSE(MemoryUse{.used = 11 * kMiB, .limit = 16 * kMiB}.is_short());
  CHECK(MemoryUse{.used = 12 * kMiB, .limit = 16 * kMiB}.is_short());
  CHECK(MemoryUse{.used = 20, .limit = 10}.is_short());
}

TEST_CASE("the cgroup with the least left counts, of the process's own and those above it") {
  Root root("0::/pods/one\n");
  root.v2("/pods/one", "max", 5 * kMiB);
  CHECK_FALSE(root.read());
  root.v2("/pods", std::to_string(100 * kMiB), 30 * kMiB);
  REQUIRE(root.read());
  CHECK(root.read()->limit == 100 * kMiB);
  CHECK(root.read()->left() == 70 * kMiB);
  root.v2("/pods/one", std::to_string(64 * kMiB), 5 * kMiB);
  CHECK(root.read()->left() == 59 * kMiB);
  root.v2("", std::to_string(200 * kMiB), 190 * kMiB);  // all of a container, seen from inside
  CHECK(root.read()->left() == 10 * kMiB);
}

TEST_CASE("where it matters, pages of files that can be dropped do not count") {
  Root root("0::/one\n");
  root.v2("/one", std::to_string(64 * kMiB), 60 * kMiB);
  CHECK(root.read()->is_short());
  root.write("sys/fs/cgroup/one/memory.stat",
             "anon 1\nfile 41943040\nactive_file 20971520\ninactive_file 10485760\nslab x\n\n");
  CHECK(root.read()->used == 30 * kMiB);
  CHECK_FALSE(root.read()->is_short());
}

TEST_CASE("version 1 is read likewise, also where the container's own cgroup is what is mounted") {
  Root root("4:memory:/docker/abc\n3:cpu:/\n0::/\n");
  const std::string folder = "sys/fs/cgroup/memory";
  root.write(folder + "/memory.limit_in_bytes", "9223372036854771712\n");
  root.write(folder + "/memory.usage_in_bytes", "1048576\n");
  CHECK_FALSE(root.read());
  root.write(folder + "/memory.limit_in_bytes", "16777216\n");
  CHECK(root.read()->left() == 15 * kMiB);
  root.write(folder + "/memory.usage_in_bytes", "16777216\n");
  root.write(folder + "/memory.stat", "active_file 9\ntotal_active_file 8388608\n");
  CHECK(root.read()->left() == 8 * kMiB);
}

TEST_CASE("what cannot be read is no limit") {
  for (const char* text : {"", "0::\n", "0::relative\n", "4:memory:\n", "\n\n", "0::/../../x\n"}) {
    CHECK_FALSE(Root(text).read());
  }
  Root root("0::/one\n");
  for (const char* limit : {"", "x", "0", "-1", "99999999999999999999999"}) {
    root.v2("/one", limit, kMiB);
    CHECK_FALSE(root.read());
  }
  CHECK_FALSE(Root("0::/" + std::string(20'000, 'a') + "\n").read());
}

}  // namespace mesh
