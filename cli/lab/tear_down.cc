#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "cli/lab/cgroup.h"
#include "cli/lab/files.h"
#include "cli/lab/network.h"
#include "cli/lab/supervisor.h"

namespace mesh::cli::lab {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds kPolitely{3};

// Agents detach their programs and remove their pins when asked to end; they get the time for it.
void ask_to_end(const Record& record) {
  std::vector<pid_t> asked;
  const auto ask = [&](const std::string& cgroup) {
    for (const pid_t pid : cgroup_processes(cgroup)) {
      if (::kill(pid, SIGTERM) == 0) asked.push_back(pid);
    }
  };
  for (const PodRecord& pod : record.pods) {
    if (!pod.cgroup.empty()) [[maybe_unused]]
      const auto killed = kill_cgroup(pod.cgroup);
  }
  for (const NodeRecord& node : record.nodes) {
    ask(record.cgroup + "/" + node.name + "/ztunnel");
    ask(record.cgroup + "/" + node.name + "/agent");
  }
  ask(record.cgroup + "/control");
  const auto deadline = Clock::now() + kPolitely;
  for (const pid_t pid : asked) {
    // A child of ours stays a zombie until it is reaped; the state in /proc tells.
    while (Clock::now() < deadline) {
      const auto stat = read_file("/proc/" + std::to_string(pid) + "/stat");
      if (!stat || stat->find(") Z ") != std::string::npos) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
}

}  // namespace

Outcome<Done> tear_down(const Record& record) {
  Outcome<Done> result = Done{};
  const auto keep_first = [&](Outcome<Done> one) {
    if (!one && result) result = std::move(one);
  };
  ask_to_end(record);
  keep_first(remove_cgroup(record.cgroup));
  for (const PodRecord& pod : record.pods) {
    if (!pod.netns.empty()) keep_first(remove_netns(pod.netns));
  }
  for (const NodeRecord& node : record.nodes) keep_first(remove_netns(node.netns));
  keep_first(remove_netns(record.link_netns));
  std::error_code error;
  if (!record.kubeconfig.empty()) {
    const std::string prefix = record.link_netns.substr(0, record.link_netns.rfind("net"));
    for (const std::string& name : list_folder("/run/netns").value_or(std::vector<std::string>{})) {
      if (prefix.ends_with("--") && name.starts_with(prefix)) keep_first(remove_netns(name));
    }
    const auto cluster = std::filesystem::path(record.kubeconfig).parent_path();
    if (cluster.filename().string().starts_with("weft-kubernetes-")) {
      std::filesystem::remove_all(cluster, error);
    }
  }
  if (result) std::filesystem::remove_all(record.folder, error);
  if (error) keep_first(problem("remove " + record.folder + ": " + error.message()));
  ::rmdir(kLabsFolder);  // only when it was the last lab
  ::rmdir("/run/weft");
  return result;
}

}  // namespace mesh::cli::lab
