#include "ebpf/kubernetes/pod_process.h"

#include <sys/stat.h>

#include <catch2/catch_test_macros.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace mesh::ebpf {
namespace {

namespace fs = std::filesystem;

constexpr const char* kOne = "11111111-aaaa-4bbb-8ccc-000000000001";
constexpr const char* kTwo = "22222222-aaaa-4bbb-8ccc-000000000002";

TEST_CASE("pod process: kubelets' control groups, of every driver") {
  const std::string one = kOne, slice = "11111111_aaaa_4bbb_8ccc_000000000001";
  CHECK(pod_of_cgroup("/kubepods/besteffort/pod" + one + "/abc") == one);
  CHECK(pod_of_cgroup("/lab/node-1/kubepods/pod" + one + "/web") == one);
  CHECK(pod_of_cgroup("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + slice +
                      ".slice/cri-containerd-abc.scope") == one);
  CHECK(pod_of_cgroup("/kubepods.slice/kubepods-pod" + slice + ".slice/crio-abc.scope") == one);
  CHECK(pod_of_cgroup("/system.slice/kubelet.service").empty());
  CHECK(pod_of_cgroup("/pod" + one).empty());  // nobody but the kubelet makes kubepods
  CHECK(pod_of_cgroup("/kubepods/pod../x").empty());
  CHECK(pod_of_cgroup("").empty());
}

TEST_CASE("pod process: a control group made inside of a pod makes nobody another pod") {
  CHECK(pod_of_cgroup(std::string("/kubepods/pod") + kOne + "/c/kubepods/pod" + kTwo) == kOne);
  CHECK(pod_of_cgroup(std::string("/kubepods.slice/kubepods-pod"
                                  "11111111_aaaa_4bbb_8ccc_000000000001.slice/x/pod") +
                      kTwo) == kOne);
}

// A /proc of our making.
struct Proc {
  Proc() {
    char name[] = "/tmp/weft-test-XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    root = name;
    process("self", "/", "1", "own");
  }
  ~Proc() { fs::remove_all(root); }
  void process(const std::string& pid, const std::string& cgroup, const std::string& start,
               const std::string& netns) const {
    fs::create_directories(root + "/" + pid + "/ns");
    std::ofstream(root + "/" + pid + "/cgroup") << "0::" << cgroup << "\n";
    std::ofstream(root + "/" + pid + "/stat")
        << pid << " (a) b) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 " << start << " 0 0\n";
    if (!fs::exists(root + "/" + netns)) std::ofstream(root + "/" + netns) << netns;
    fs::create_hard_link(root + "/" + netns, root + "/" + pid + "/ns/net");
  }
  ino_t inode(const std::string& netns) const {
    struct stat status{};
    return stat((root + "/" + netns).c_str(), &status) == 0 ? status.st_ino : 0;
  }
  std::string root;
};

TEST_CASE("pod process: the oldest process of a pod says where the pod is") {
  const Proc proc;
  const std::string one = std::string("/kubepods/pod") + kOne,
                    two = std::string("/kubepods/pod") + kTwo;
  proc.process("900", one + "/pause", "100", "sandbox");
  proc.process("11", one + "/web", "250", "decoy");  // younger, though of a lower number
  proc.process("950", two + "/host", "100", "own");  // of our own namespace
  const auto found = find_pod_namespaces({kOne, kTwo}, proc.root);
  REQUIRE(found.size() == 1);
  struct stat status{};
  REQUIRE(fstat(found.at(kOne).get(), &status) == 0);
  CHECK(status.st_ino == proc.inode("sandbox"));
  CHECK(find_pod_namespaces({kTwo}, proc.root).empty());
  CHECK(find_pod_namespaces({}, proc.root).empty());
}

}  // namespace
}  // namespace mesh::ebpf
