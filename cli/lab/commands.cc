#include "cli/lab/commands.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <thread>

#include "cli/json.h"
#include "cli/lab/check.h"
#include "cli/lab/files.h"
#include "cli/lab/folder.h"
#include "cli/lab/network.h"
#include "cli/lab/packet_socket.h"
#include "cli/lab/process.h"
#include "cli/lab/record.h"
#include "cli/lab/supervisor.h"
#include "cli/table.h"

namespace mesh::cli::lab {
namespace {

using Json = nlohmann::json;
constexpr std::chrono::seconds kDownWithin{20};
constexpr std::chrono::seconds kProgramAnswerWithin{60};

int failed_with(const std::string& sentence) {
  std::fprintf(stderr, "weft: %s\n", sentence.c_str());
  return 1;
}

volatile std::sig_atomic_t interrupted = 0;
void on_interrupt(int) { interrupted = 1; }

// Copies the supervisor's progress to stdout until it closes its end, and passes Ctrl-C on.
bool show_progress(int fd, pid_t supervisor) {
  std::string text;
  bool told = false;
  for (;;) {
    if (interrupted != 0 && !told) {
      ::kill(supervisor, SIGTERM);
      told = true;
    }
    char buffer[4096];
    const ssize_t got = ::read(fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    std::fwrite(buffer, 1, static_cast<std::size_t>(got), stdout);
    std::fflush(stdout);
    text.append(buffer, static_cast<std::size_t>(got));
  }
  return text.find(" is up after ") != std::string::npos;
}

int wait_for(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    if (interrupted != 0) ::kill(pid, SIGTERM);
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

// The harness of the Kubernetes tests is the lab: found in the source tree that this program was
// built in.
Outcome<std::string> harness() {
  std::error_code error;
  auto folder = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  for (; folder.has_relative_path(); folder = folder.parent_path()) {
    const auto script = folder / "test/kubernetes/lab_up.py";
    if (std::filesystem::exists(script, error)) return script.string();
  }
  return problem("a lab on Kubernetes is made by Weft's source tree: run the weft that it builds");
}

[[noreturn]] void supervise_cluster(const std::string& script, const UpOptions& options,
                                    int progress_fd) {
  ::setsid();
  const int null = ::open("/dev/null", O_RDWR);
  ::dup2(null, 0);
  for (int fd = 1; fd <= 2; ++fd) ::dup2(progress_fd, fd);
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  ::setenv("WEFT_BUILD", program.parent_path().parent_path().c_str(), 0);
  ::execlp("python3", "python3", script.c_str(), options.name.c_str(), options.source.c_str(),
           options.mesh ? nullptr : "--without-mesh", nullptr);
  std::printf("python3: %s\n", std::strerror(errno));
  std::fflush(stdout);
  std::_Exit(1);
}

// The supervisor lives in a session of its own and holds no terminal.
[[noreturn]] void supervise(const UpOptions& options, int progress_fd) {
  ::setsid();
  const int null = ::open("/dev/null", O_RDWR);
  for (int fd = 0; fd <= 2; ++fd) ::dup2(null, fd);
  [[maybe_unused]] const int changed = ::chdir("/");
  Supervisor supervisor(options, progress_fd);
  std::_Exit(supervisor.run());
}

Outcome<UpOptions> checked(UpOptions options) {
  if (::geteuid() != 0) return problem("a lab needs root: it makes network namespaces");
  std::error_code error;
  const auto source = std::filesystem::canonical(options.source, error);
  if (error) return problem(options.source + ": " + error.message());
  options.source = source.string();
  if (options.name.empty()) options.name = source.filename().string();
  const bool plain =
      options.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
  if (!plain || options.name.empty() || options.name.size() > 30 || options.name[0] == '-') {
    return problem("the lab's name \"" + options.name +
                   "\" must be 1 to 30 of a-z, 0-9 and '-'; choose one with --name");
  }
  if (auto left_over = read_record(options.name); left_over && !is_alive(*left_over)) {
    std::printf("taking down what is left of an earlier lab %s\n", options.name.c_str());
    TRY_DO(tear_down(*left_over));
  }
  return options;
}

// The supervisor holds the lock until nothing is left of the lab, the lock's own file included; so
// the wait is on the open file.
bool wait_until_free(int lock) {
  const auto deadline = std::chrono::steady_clock::now() + kDownWithin;
  while (::flock(lock, LOCK_EX | LOCK_NB) != 0) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

Outcome<Done> take_down(const Record& record) {
  if (is_alive(record)) {
    const int lock = ::open(record.lock().c_str(), O_RDONLY | O_CLOEXEC);
    ::kill(record.supervisor, SIGTERM);
    if (lock >= 0 && !wait_until_free(lock)) {
      ::kill(record.supervisor, SIGKILL);
      wait_until_free(lock);
    }
    if (lock >= 0) ::close(lock);
  }
  // Usually nothing is left to do; lab.json is gone then.
  if (const auto still = read_record(record.name)) return tear_down(*still);
  return Done{};
}

}  // namespace

int up(UpOptions options, bool foreground) {
  auto ready = checked(std::move(options));
  if (!ready) return failed_with(ready.error());
  std::string script;
  if (ready->kubernetes) {
    auto found = harness();
    if (!found) return failed_with(found.error());
    script = *std::move(found);
  }
  int pipe[2];
  if (::pipe2(pipe, O_CLOEXEC) != 0)
    return failed_with("pipe: " + std::string(std::strerror(errno)));
  struct sigaction action{};
  action.sa_handler = on_interrupt;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  std::fflush(stdout);
  const pid_t pid = ::fork();
  if (pid < 0) return failed_with("fork: " + std::string(std::strerror(errno)));
  if (pid == 0) {
    ::close(pipe[0]);
    if (ready->kubernetes) supervise_cluster(script, *ready, pipe[1]);
    supervise(*ready, pipe[1]);
  }
  ::close(pipe[1]);
  const bool is_up = show_progress(pipe[0], pid);
  if (!is_up) {
    wait_for(pid);
    return 1;
  }
  if (!foreground && interrupted == 0) return 0;
  return wait_for(pid);
}

int down(const std::string& lab, bool all) {
  std::vector<std::string> names;
  if (all) {
    names = lab_names();
  } else {
    const auto record = find_lab(lab);
    if (!record) return failed_with(record.error());
    names.push_back(record->name);
  }
  int code = 0;
  for (const std::string& name : names) {
    const auto record = read_record(name);
    if (!record) continue;
    if (const auto gone = take_down(*record); !gone) code = failed_with(gone.error());
  }
  return code;
}

int list(const Session& session) {
  Json array = Json::array();
  std::vector<std::vector<std::string>> rows = {{"NAME", "STATE", "NODES", "PODS", "FOLDER"}};
  for (const std::string& name : lab_names()) {
    const auto record = read_record(name);
    if (!record) continue;
    const std::string state = is_alive(*record) ? record->state : "crashed";
    array.push_back({{"name", name}, {"state", state}, {"source", record->source}});
    rows.push_back({name, state, std::to_string(record->nodes.size()),
                    std::to_string(record->pods.size()), record->source});
  }
  print(session, array, table(rows));
  return 0;
}

int status(const Session& session) {
  const auto record = find_lab(session.lab);
  if (!record) return failed_with(record.error());
  if (session.output != "table") {
    print(session, parse_json(to_json(*record)), "");
    return 0;
  }
  std::printf(
      "lab %s: %s (%s)\n\n", record->name.c_str(),
      is_alive(*record) ? record->state.c_str() : "crashed; take it down with weft lab down",
      record->folder.c_str());
  if (!record->kubeconfig.empty()) {
    std::printf("on Kubernetes: weft lab exec --lab %s link -- kubectl get pods -A\n",
                record->name.c_str());
    return 0;
  }
  std::vector<std::vector<std::string>> rows = {{"PROGRAM", "STATE", "PID", "RESTARTS"}};
  for (const ProgramRecord& program : record->programs) {
    rows.push_back({program.name, program.state, std::to_string(program.pid),
                    std::to_string(program.restarts)});
  }
  std::printf("%s\n", table(rows).c_str());
  rows = {{"POD", "NODE", "PHASE", "READY", "MESH", "RESTARTS", "ADDRESSES", "MESSAGE"}};
  for (const PodRecord& pod : record->pods) {
    std::string addresses;
    for (const std::string& one : pod.addresses) addresses += (addresses.empty() ? "" : ",") + one;
    rows.push_back({pod.key(), pod.node, pod.phase, pod.ready ? "yes" : "no",
                    pod.enrolled ? "yes" : "no", std::to_string(pod.restarts), addresses,
                    pod.message});
  }
  std::printf("%s", table(rows).c_str());
  return 0;
}

int logs(const std::string& lab, const std::string& name, bool follow) {
  const auto record = find_folder_lab(lab);
  if (!record) return failed_with(record.error());
  std::string path = record->log_of(name);
  if (!exists(path)) {
    const auto pod = find_pod(*record, name);
    if (pod) {
      path = record->log_of(pod->key());
    } else {
      std::string known = " lab";
      for (const ProgramRecord& program : record->programs) known += " " + program.name;
      for (const PodRecord& one : record->pods) known += " " + one.key();
      return failed_with("no log named " + name + "; there are:" + known);
    }
  }
  if (follow) {
    ::execlp("tail", "tail", "-n", "+1", "-F", path.c_str(), nullptr);
    return failed_with("tail: not found");
  }
  const auto text = read_file(path);
  if (!text) return failed_with(text.error());
  std::fwrite(text->data(), 1, text->size(), stdout);
  return 0;
}

int exec(const std::string& lab, const std::string& where,
         const std::vector<std::string>& command) {
  const auto record = find_lab(lab);
  if (!record) return failed_with(record.error());
  if (!record->kubeconfig.empty()) {
    ::setenv("KUBECONFIG", record->kubeconfig.c_str(), 1);
    const char* const path = std::getenv("PATH");
    ::setenv("PATH", (record->tools + ":" + (path == nullptr ? "/usr/bin:/bin" : path)).c_str(), 1);
  }
  Place place;
  if (where == "link") {
    place.netns = netns_path(record->link_netns);
  } else if (const NodeRecord* node = record->node(where)) {
    place.netns = netns_path(node->netns);
  } else {
    const auto pod = find_pod(*record, where);
    if (!pod) return failed_with(pod.error());
    if (pod->netns.empty()) return failed_with("pod " + pod->key() + " has not started");
    place = {.cgroup = pod->cgroup,
             .netns = netns_path(pod->netns),
             .resolv_conf = pod->resolv_conf,
             .hosts = pod->hosts,
             .working_dir = ""};
  }
  if (const auto entered = enter(place); !entered) return failed_with(entered.error());
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  ::execvp(argv[0], argv.data());
  std::fprintf(stderr, "weft: %s: %s\n", argv[0], std::strerror(errno));
  return errno == ENOENT ? 127 : 126;
}

int apply(const std::string& lab, const std::vector<std::string>& files) {
  const auto record = find_folder_lab(lab);
  if (!record) return failed_with(record.error());
  for (const std::string& file : files) {
    const auto text = file == "-" ? read_file("/dev/stdin") : read_file(file);
    if (!text) return failed_with(text.error());
    const std::string name =
        file == "-" ? "stdin.yaml" : std::filesystem::path(file).filename().string();
    if (!is_manifest_name(name)) return failed_with(file + ": not a manifest (*.yaml)");
    const auto errors = check_manifest(file, *text);
    for (const std::string& error : errors) std::fprintf(stderr, "weft: %s\n", error.c_str());
    if (!errors.empty()) return 1;
    const auto put = put_objects(record->manifests(), name, *text);
    if (!put) return failed_with(put.error());
  }
  return 0;
}

int remove(const std::string& lab, const std::vector<std::string>& what, const std::string& file) {
  const auto record = find_folder_lab(lab);
  if (!record) return failed_with(record.error());
  std::vector<Document> objects;
  if (!file.empty()) {
    const auto text = read_file(file);
    if (!text) return failed_with(text.error());
    auto documents = parse_documents(file, *text);
    if (!documents) return failed_with(documents.error());
    objects = *std::move(documents);
  } else if (what.size() == 2) {
    const std::size_t slash = what[1].find('/');
    Document object;
    object.kind = what[0];
    object.name = what[1];
    if (slash != std::string::npos) {
      object.ns = what[1].substr(0, slash);
      object.name = what[1].substr(slash + 1);
    }
    objects.push_back(object);
  } else {
    return failed_with("say KIND [NAMESPACE/]NAME, or --file FILE");
  }
  int code = 0;
  for (const Document& object : objects) {
    const auto gone = remove_object(record->manifests(), object.kind, object.ns, object.name);
    if (!gone) code = failed_with(gone.error());
  }
  return code;
}

int names(const std::string& lab, const std::string& what) {
  if (what == "labs") {
    for (const std::string& name : lab_names()) std::printf("%s\n", name.c_str());
    return 0;
  }
  const auto record = find_lab(lab);
  if (!record) return 1;
  if (what != "exec") {
    for (const ProgramRecord& one : record->programs) std::printf("%s\n", one.name.c_str());
  }
  if (what != "exec" && what != "logs") return 0;
  for (const PodRecord& pod : record->pods) std::printf("%s\n", pod.key().c_str());
  if (what == "exec") {
    for (const NodeRecord& node : record->nodes) std::printf("%s\n", node.name.c_str());
    std::printf("link\n");
  }
  return 0;
}

int demo(const std::string& folder, const std::vector<std::string>& arguments) {
  const std::string script = folder + "/demo.py";
  if (!exists(script)) return failed_with(folder + " has no demo (demo.py)");
  std::error_code error;
  const std::string self = std::filesystem::read_symlink("/proc/self/exe", error).string();
  ::setenv("WEFT", self.c_str(), 1);
  std::vector<std::string> words = {"python3", script};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  ::execvp(argv[0], argv.data());
  return failed_with("python3: not found");
}

int program(const std::string& op, const StopOptions& options) {
  const auto record = find_folder_lab(options.lab);
  if (!record) return failed_with(record.error());
  auto socket = PacketSocket::connect_to(record->socket());
  if (!socket) return failed_with(socket.error());
  const Json request = {
      {"op", op}, {"program", options.program}, {"signal", options.kill ? "KILL" : "TERM"}};
  if (const auto sent = socket->send(to_text(request)); !sent) return failed_with(sent.error());
  const auto reply = socket->receive(kProgramAnswerWithin);
  if (!reply) return failed_with(reply.error());
  const Json answer = parse_json(*reply);
  if (flag(answer, "ok")) return 0;
  const std::string error = text(answer, "error");
  return failed_with(error.empty() ? "refused" : error);
}

}  // namespace mesh::cli::lab
