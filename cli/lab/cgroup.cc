#include "cli/lab/cgroup.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <sstream>

#include "cli/lab/files.h"

namespace mesh::cli::lab {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds kEmptyWithin{5};

bool populated(const std::string& path) {
  const auto events = read_file(path + "/cgroup.events");
  return events && events->find("populated 1") != std::string::npos;
}

// Waits until no process is left in the tree; cgroup.events signals a change with POLLPRI.
bool wait_until_empty(const std::string& path) {
  const int fd = ::open((path + "/cgroup.events").c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return true;
  const auto deadline = Clock::now() + kEmptyWithin;
  bool empty = !populated(path);
  while (!empty && Clock::now() < deadline) {
    char ignored[256];
    [[maybe_unused]] const ssize_t got = ::pread(fd, ignored, sizeof ignored, 0);
    pollfd wait{.fd = fd, .events = POLLPRI, .revents = 0};
    ::poll(&wait, 1, 50);
    empty = !populated(path);
  }
  ::close(fd);
  return empty;
}

}  // namespace

Outcome<std::string> cgroup_root() {
  TRY(const std::string mounts, read_file("/proc/mounts"));
  std::istringstream lines(mounts);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string device, path, type;
    fields >> device >> path >> type;
    if (type == "cgroup2") return path;
  }
  return problem("control groups version 2 are not mounted: mount -t cgroup2 none /sys/fs/cgroup");
}

Outcome<Done> make_cgroup(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return problem("make control group " + path + ": " + error.message());
  return Done{};
}

std::vector<pid_t> cgroup_processes(const std::string& path) {
  std::vector<pid_t> pids;
  if (const auto text = read_file(path + "/cgroup.procs")) {
    std::istringstream lines(*text);
    for (pid_t pid = 0; lines >> pid;) pids.push_back(pid);
  }
  return pids;
}

Outcome<Done> kill_cgroup(const std::string& path) {
  if (!exists(path)) return Done{};
  const int fd = ::open((path + "/cgroup.kill").c_str(), O_WRONLY | O_CLOEXEC);
  if (fd >= 0) {
    [[maybe_unused]] const ssize_t written = ::write(fd, "1", 1);
    ::close(fd);
  } else {
    for (const pid_t pid : cgroup_processes(path)) ::kill(pid, SIGKILL);
  }
  if (!wait_until_empty(path)) return problem("processes stay in control group " + path);
  return Done{};
}

Outcome<Done> remove_cgroup(const std::string& path) {
  if (!exists(path)) return Done{};
  TRY_DO(kill_cgroup(path));
  std::error_code error;
  std::vector<std::string> folders;
  for (std::filesystem::recursive_directory_iterator entry(path, error), end;
       !error && entry != end; entry.increment(error)) {
    if (entry->is_directory(error)) folders.push_back(entry->path().string());
  }
  for (auto folder = folders.rbegin(); folder != folders.rend(); ++folder) {
    ::rmdir(folder->c_str());
  }
  if (::rmdir(path.c_str()) != 0 && errno != ENOENT) {
    return problem_with_errno("remove control group " + path);
  }
  return Done{};
}

}  // namespace mesh::cli::lab
