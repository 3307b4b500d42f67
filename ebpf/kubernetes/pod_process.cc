#include "ebpf/kubernetes/pod_process.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>

#include "ebpf/cgroup.h"
#include "ebpf/kubernetes/process.h"

namespace mesh::ebpf {
namespace {

constexpr std::size_t kUidLength = 36;  // of a UUID

bool is_uid(std::string_view text) {
  return text.size() == kUidLength && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == '-';
         });
}

// "pod1234-..." or "kubepods-burstable-pod1234_....slice"; empty if it is neither.
std::string pod_of_component(std::string_view component) {
  if (component.starts_with("pod") && is_uid(component.substr(3)))
    return std::string(component.substr(3));
  if (!component.starts_with("kubepods") || !component.ends_with(".slice")) return {};
  const auto at = component.rfind("-pod");
  if (at == component.npos) return {};
  std::string uid(component.substr(at + 4, component.size() - at - 4 - 6));
  std::ranges::replace(uid, '_', '-');
  return is_uid(uid) ? uid : std::string();
}

}  // namespace

std::string pod_of_cgroup(std::string_view path) {
  bool inside = false;
  while (!path.empty()) {
    const std::string_view component = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(path.size(), component.size() + 1));
    inside = inside || component.starts_with("kubepods");
    if (!inside) continue;
    if (std::string uid = pod_of_component(component); !uid.empty()) return uid;
  }
  return {};
}

std::map<std::string, UniqueFd> find_pod_namespaces(const std::set<std::string>& uids,
                                                    const std::string& proc) {
  struct Oldest {
    std::uint64_t start = UINT64_MAX;
    std::string folder;
  };
  std::map<std::string, Oldest> oldest;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(proc, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != name.npos) continue;
    const std::string folder = entry.path().string();
    const std::string uid = pod_of_cgroup(find_cgroup2_path(read_proc_file(folder + "/cgroup")));
    if (uid.empty() || !uids.contains(uid)) continue;
    const std::uint64_t start = start_of_process(folder);
    if (Oldest& known = oldest[uid]; start < known.start) known = {start, folder};
  }
  struct stat own{};
  stat((proc + "/self/ns/net").c_str(), &own);
  std::map<std::string, UniqueFd> found;
  for (const auto& [uid, process] : oldest) {
    UniqueFd netns(::open((process.folder + "/ns/net").c_str(), O_RDONLY | O_CLOEXEC));
    struct stat status{};
    if (!netns || fstat(netns.get(), &status) < 0 || status.st_ino == own.st_ino) continue;
    // The number could have become another process's meanwhile.
    if (start_of_process(process.folder) == process.start) found.emplace(uid, std::move(netns));
  }
  return found;
}

}  // namespace mesh::ebpf
