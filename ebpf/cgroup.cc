#include "ebpf/cgroup.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>

#include "ebpf/unique_fd.h"

namespace mesh::ebpf {
namespace {

Result<std::string> read_file(const std::string& path) {
  std::ifstream file(path);
  if (!file) return failed_with_errno(errno == 0 ? ENOENT : errno, "read cgroup");
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// The first line for which `take` returns something.
template <class Take>
std::string find_line(std::string_view text, Take take) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    if (auto found = take(line); !found.empty()) return std::string(found);
    text.remove_prefix(std::min(text.size(), line.size() + 1));
  }
  return {};
}

}  // namespace

std::string find_cgroup2_mount(std::string_view mounts) {
  return find_line(mounts, [](std::string_view line) -> std::string_view {
    const auto device_end = line.find(' ');
    if (device_end == line.npos) return {};
    const auto path_end = line.find(' ', device_end + 1);
    if (path_end == line.npos || !line.substr(path_end + 1).starts_with("cgroup2 ")) return {};
    return line.substr(device_end + 1, path_end - device_end - 1);
  });
}

std::string find_cgroup2_path(std::string_view process_cgroups) {
  return find_line(process_cgroups, [](std::string_view line) -> std::string_view {
    return line.starts_with("0::") ? line.substr(3) : std::string_view();
  });
}

Result<Done> enter_cgroups_of(pid_t pid) {
  struct stat own{}, node{};
  const std::string path = "/proc/" + std::to_string(pid) + "/ns/cgroup";
  if (stat("/proc/self/ns/cgroup", &own) < 0 || stat(path.c_str(), &node) < 0)
    return failed_with_errno(errno, "find the node's cgroup namespace");
  if (own.st_ino == node.st_ino) return Done{};
  const UniqueFd groups(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!groups || setns(groups.get(), CLONE_NEWCGROUP) < 0)
    return failed_with_errno(errno, "enter the node's cgroup namespace");
  return Done{};
}

Result<Cgroup> cgroup_of_process(pid_t pid) {
  if (pid <= 0) return failed(Reason::kUnreachable, "cgroup of process");
  const auto cgroups = read_file("/proc/" + std::to_string(pid) + "/cgroup");
  if (!cgroups) return failed(Reason::kUnreachable, "cgroup of process");
  TRY(const std::string mounts, read_file("/proc/mounts"));
  const std::string mount = find_cgroup2_mount(mounts);
  const std::string path = find_cgroup2_path(*cgroups);
  if (mount.empty() || path.empty()) return failed_with_errno(ENODEV, "cgroup v2 mount");
  Cgroup cgroup{.path = path == "/" ? mount : mount + path, .root = path == "/"};
  struct stat status{};
  if (stat(cgroup.path.c_str(), &status) < 0) return failed_with_errno(errno, "open cgroup");
  cgroup.id = status.st_ino;
  return cgroup;
}

Result<Cgroup> cgroup_at(std::string_view path) {
  TRY(const std::string mounts, read_file("/proc/mounts"));
  const std::string mount = find_cgroup2_mount(mounts);
  if (mount.empty()) return failed_with_errno(ENODEV, "cgroup v2 mount");
  Cgroup cgroup{.path = mount + (path.starts_with('/') ? "" : "/") + std::string(path),
                .root = path.empty() || path == "/"};
  struct stat status{};
  if (stat(cgroup.path.c_str(), &status) < 0) return failed_with_errno(errno, "open cgroup");
  cgroup.id = status.st_ino;
  return cgroup;
}

std::optional<Cgroup> find_cgroup(std::uint64_t id) {
  const auto mounts = read_file("/proc/mounts");
  const std::string mount = mounts ? find_cgroup2_mount(*mounts) : std::string();
  if (mount.empty()) return std::nullopt;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(mount, ignored)) {
    struct stat status{};
    if (!entry.is_directory(ignored) || stat(entry.path().c_str(), &status) < 0) continue;
    if (status.st_ino == id) return Cgroup{.id = id, .path = entry.path().string()};
  }
  return std::nullopt;
}

bool is_populated(const Cgroup& cgroup) {
  struct stat status{};
  if (stat(cgroup.path.c_str(), &status) < 0 || status.st_ino != cgroup.id) return false;
  const auto events = read_file(cgroup.path + "/cgroup.events");
  return events && events->find("populated 1") != std::string::npos;
}

}  // namespace mesh::ebpf
