#include "ebpf/kubernetes/kubelet.h"

#include <sys/stat.h>

#include <filesystem>

#include "ebpf/kubernetes/process.h"

namespace mesh::ebpf {
namespace {

bool is_kubelet(const std::string& folder, ino_t own_netns) {
  if (read_proc_file(folder + "/comm") != "kubelet\n") return false;
  struct stat process{}, netns{};
  return stat(folder.c_str(), &process) == 0 && process.st_uid == 0 &&
         stat((folder + "/ns/net").c_str(), &netns) == 0 && netns.st_ino == own_netns &&
         find_cgroup2_path(read_proc_file(folder + "/cgroup")).find("kubepods") ==
             std::string::npos;
}

// Of several, the oldest. Its control group is not looked up.
Result<Kubelet> find_process() {
  struct stat own{};
  if (stat("/proc/self/ns/net", &own) < 0) return failed_with_errno(errno, "own namespace");
  Kubelet oldest{.pid = 0, .start = UINT64_MAX, .cgroup = {}};
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != name.npos) continue;
    const std::string folder = entry.path().string();
    if (!is_kubelet(folder, own.st_ino)) continue;
    if (const auto start = start_of_process(folder); start < oldest.start)
      oldest = {.pid = static_cast<pid_t>(std::stol(name)), .start = start, .cgroup = {}};
  }
  if (oldest.pid == 0) return failed(Reason::kUnreachable, "find the kubelet");
  return oldest;
}

}  // namespace

Result<Done> enter_node_cgroups() {
  auto entered = enter_cgroups_of(1);
  if (entered) return entered;
  // Some machines shield their first process; the kubelet is in the same namespace.
  const auto kubelet = find_process();
  return kubelet ? enter_cgroups_of(kubelet->pid) : entered;
}

Result<Kubelet> find_kubelet() {
  TRY(Kubelet oldest, find_process());
  TRY(oldest.cgroup, cgroup_of_process(oldest.pid));
  if (oldest.cgroup.root) return failed(Reason::kUnreachable, "find a cgroup of the kubelet's own");
  return oldest;
}

bool is_there(const Kubelet& kubelet) {
  if (start_of_process("/proc/" + std::to_string(kubelet.pid)) != kubelet.start) return false;
  const auto cgroup = cgroup_of_process(kubelet.pid);
  return cgroup && cgroup->id == kubelet.cgroup.id;
}

}  // namespace mesh::ebpf
