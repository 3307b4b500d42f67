#include "cli/lab/programs.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sstream>

#include "cli/http.h"
#include "cli/lab/addresses.h"
#include "cli/lab/agent_client.h"
#include "cli/lab/cgroup.h"
#include "cli/lab/files.h"
#include "cli/lab/network.h"

namespace mesh::cli::lab {
namespace {

constexpr std::chrono::seconds kRestartFirst{1};
constexpr std::chrono::seconds kRestartMax{30};
constexpr std::chrono::seconds kStable{60};

bool answers_200(const std::string& netns, const std::string& url) {
  bool ok = false;
  [[maybe_unused]] const auto entered = inside_netns(netns, [&]() -> Outcome<Done> {
    const auto answer = http_call({.url = url, .timeout = std::chrono::milliseconds(1000)});
    ok = answer && answer->status == 200;
    return Done{};
  });
  return ok;
}

std::string last_part(const std::string& name) { return name.substr(name.rfind('/') + 1); }

std::string how_it_ended(int status) {
  if (WIFEXITED(status)) return "exited with status " + std::to_string(WEXITSTATUS(status));
  return std::string("killed by ") + ::strsignal(WTERMSIG(status));
}

}  // namespace

Outcome<std::string> find_program(const std::string& name) {
  std::vector<std::string> folders;
  if (const char* chosen = std::getenv("WEFT_PROGRAMS")) folders.push_back(chosen);
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  folders.push_back(self.string());
  for (const char* beside : {"control", "ebpf", "waypoint", "ztunnel"}) {
    folders.push_back((self.parent_path() / beside).string());
  }
  if (const char* path = std::getenv("PATH")) {
    std::istringstream parts(path);
    for (std::string part; std::getline(parts, part, ':');) folders.push_back(part);
  }
  for (const std::string& folder : folders) {
    const std::string candidate = folder + "/" + name;
    struct stat file{};
    if (::stat(candidate.c_str(), &file) == 0 && S_ISREG(file.st_mode) &&
        ::access(candidate.c_str(), X_OK) == 0) {
      return candidate;
    }
  }
  return problem(name + ": not found beside weft nor in PATH (or set WEFT_PROGRAMS)");
}

Outcome<Done> Programs::prepare() {
  TRY_DO(make_folders(record_.control_state() + "/tokens"));
  TRY_DO(add_control());
  for (const NodeRecord& node : record_.nodes) TRY_DO(add_node(node));
  publish();
  return Done{};
}

Outcome<Done> Programs::add(const std::string& name, const std::string& executable,
                            std::vector<std::string> arguments, const Place& place,
                            std::vector<std::string> env) {
  TRY(const std::string path, find_program(executable));
  TRY_DO(make_cgroup(place.cgroup));
  arguments.insert(arguments.begin(), path);
  programs_.push_back({.name = name,
                       .launch = {.place = place,
                                  .argv = std::move(arguments),
                                  .env = std::move(env),
                                  .log = record_.log_of(name)}});
  return Done{};
}

Outcome<Done> Programs::add_control() {
  const std::string state = record_.control_state();
  std::vector<std::string> arguments = {
      "--manifests", record_.manifests(), "--state", state,           "--tokens", state + "/tokens",
      "--san",       kControlAddress,     "--san",   kControlAddress6};
  if (!options_.certificate_lifetime.empty()) {
    arguments.insert(arguments.end(), {"--certificate-lifetime", options_.certificate_lifetime});
  }
  const std::string mesh = record_.manifests() + "/mesh.yaml";
  if (read_file(mesh)) arguments.insert(arguments.end(), {"--mesh-config", mesh});
  arguments.insert(arguments.end(), options_.control_flags.begin(), options_.control_flags.end());
  return add("control", "weft-control", std::move(arguments),
             {.cgroup = record_.cgroup + "/control", .netns = netns_path(record_.link_netns)}, {});
}

Outcome<Done> Programs::add_node(const NodeRecord& node) {
  const std::string folder = record_.folder + "/nodes/" + node.name;
  const std::string token = record_.control_state() + "/tokens/" + node.name;
  TRY_DO(make_folders(folder + "/agent"));
  TRY_DO(write_file(token, random_hex(kTokenBytes) + "\n", 0600));
  // No name server of the host is reachable from a lab: without any, an unknown name fails at once.
  TRY_DO(write_file(folder + "/resolv.conf", "# a lab has no name server but its ztunnels\n"));
  Place place{.netns = netns_path(node.netns), .resolv_conf = folder + "/resolv.conf"};
  place.cgroup = record_.cgroup + "/" + node.name + "/agent";
  std::vector<std::string> agent = {"--node",        node.name,        "--zds-socket",
                                    node.zds_socket, "--socket",       node.agent_socket,
                                    "--state",       folder + "/agent"};
  agent.insert(agent.end(), options_.agent_flags.begin(), options_.agent_flags.end());
  TRY_DO(add(node.name + "/agent", "weft-agent", std::move(agent), place, {}));
  place.cgroup = record_.cgroup + "/" + node.name + "/ztunnel";
  std::vector<std::string> ztunnel = {
      "--xds-address",  std::string("https://") + kControlAddress + ":15012",
      "--root-cert",    record_.control_state() + "/ca/root-cert.pem",
      "--token",        token,
      "--zds-socket",   node.zds_socket,
      "--agent-socket", node.agent_socket,
      "--node",         node.name};
  ztunnel.insert(ztunnel.end(), options_.ztunnel_flags.begin(), options_.ztunnel_flags.end());
  return add(node.name + "/ztunnel", "weft-ztunnel", std::move(ztunnel), place,
             {"INSTANCE_IP=" + node.addresses[0], "POD_NAME=ztunnel-" + node.name,
              "POD_NAMESPACE=weft-system"});
}

Programs::Program* Programs::find(const std::string& name) {
  const auto found = std::find_if(programs_.begin(), programs_.end(),
                                  [&](const Program& one) { return one.name == name; });
  return found == programs_.end() ? nullptr : &*found;
}
const Programs::Program* Programs::find(const std::string& name) const {
  return const_cast<Programs*>(this)->find(name);
}

Outcome<std::vector<std::string>> Programs::resolve(const std::string& name) const {
  std::vector<std::string> names;
  std::string list;
  for (const Program& program : programs_) {
    list += " " + program.name;
    if (program.name == name || last_part(program.name) == name) names.push_back(program.name);
  }
  if (names.empty()) return problem("no program named " + name + "; there are:" + list);
  return names;
}

Outcome<Done> Programs::launch_now(Program& program) {
  TRY(program.pid, launch(program.launch));
  program.started = Clock::now();
  program.restart_at.reset();
  publish();
  return Done{};
}

Outcome<Done> Programs::start(const std::string& name) {
  Program* program = find(name);
  if (program == nullptr) return problem("no program named " + name);
  program->wanted = true;
  if (program->pid != 0) return Done{};
  return launch_now(*program);
}

Outcome<Done> Programs::stop(const std::string& name, int signal) {
  Program* program = find(name);
  if (program == nullptr) return problem("no program named " + name);
  program->wanted = false;
  program->restart_at.reset();
  if (program->pid != 0) ::kill(program->pid, signal);
  publish();
  return Done{};
}

bool Programs::is_running(const std::string& name) const {
  const Program* program = find(name);
  return program != nullptr && program->pid != 0;
}

bool Programs::is_ready(const std::string& name) const {
  if (!is_running(name)) return false;
  if (name == "control") {
    return answers_200(record_.link_netns,
                       std::string("http://") + kControlAddress + ":15014/ready");
  }
  const NodeRecord* node = record_.node(name.substr(0, name.rfind('/')));
  if (node == nullptr) return false;
  if (last_part(name) == "agent") return agent_list(node->agent_socket).has_value();
  return answers_200(node->netns, "http://127.0.0.1:15021/healthz/ready");
}

bool Programs::ended(pid_t pid, int wait_status) {
  const auto found = std::find_if(programs_.begin(), programs_.end(),
                                  [&](const Program& one) { return one.pid == pid; });
  if (found == programs_.end()) return false;
  found->pid = 0;
  last_words_ = found->name + " " + how_it_ended(wait_status);
  if (found->wanted) {
    const auto now = Clock::now();
    found->quick_ends = now - found->started > kStable ? 0 : found->quick_ends + 1;
    const auto wait = std::min<Clock::duration>(
        kRestartFirst * (1 << std::clamp(found->quick_ends - 1, 0, 5)), kRestartMax);
    found->restart_at = now + wait;
    ++found->restarts;
    last_words_ += "; its log ends:\n" + tail(found->launch.log, 8);
  }
  publish();
  return true;
}

std::optional<Clock::time_point> Programs::tick(Clock::time_point now) {
  std::optional<Clock::time_point> next;
  for (Program& program : programs_) {
    if (!program.restart_at) continue;
    if (*program.restart_at <= now) {
      if (!launch_now(program)) program.restart_at = now + kRestartMax;
    }
    if (program.restart_at) next = next ? std::min(*next, *program.restart_at) : program.restart_at;
  }
  return next;
}

void Programs::publish() {
  record_.programs.clear();
  for (const Program& program : programs_) {
    record_.programs.push_back({.name = program.name,
                                .state = program.pid != 0     ? "running"
                                         : program.restart_at ? "waiting"
                                                              : "stopped",
                                .pid = program.pid,
                                .restarts = program.restarts});
  }
}

}  // namespace mesh::cli::lab
