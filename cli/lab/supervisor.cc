#include "cli/lab/supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>

#include "cli/control_client.h"
#include "cli/json.h"
#include "cli/lab/addresses.h"
#include "cli/lab/cgroup.h"
#include "cli/lab/check.h"
#include "cli/lab/files.h"
#include "cli/lab/network.h"
#include "cli/mesh_status.h"

namespace mesh::cli::lab {
namespace {

using Json = nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kProgramWithin{20};
constexpr seconds kPodsWithin{60};
constexpr seconds kSyncWithin{20};
constexpr seconds kStopWithin{20};
constexpr milliseconds kRequestWithin{500};
constexpr std::size_t kPodsNamed = 10;  // more are only counted

std::string seconds_since(std::chrono::steady_clock::time_point start) {
  const auto spent = std::chrono::duration<double>(std::chrono::steady_clock::now() - start);
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f s", spent.count());
  return text.data();
}

Outcome<Done> refuse(const std::vector<std::string>& problems) {
  if (problems.empty()) return Done{};
  std::string list = "the manifests are not valid";
  for (const std::string& one : problems) list += "\n  " + one;
  return problem(list);
}

}  // namespace

Supervisor::Supervisor(UpOptions options, int progress_fd)
    : options_(std::move(options)), progress_fd_(progress_fd) {
  sigset_t handled;
  ::sigemptyset(&handled);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) ::sigaddset(&handled, signal);
  ::sigprocmask(SIG_BLOCK, &handled, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  signal_fd_ = ::signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK);
  record_.name = options_.name;
  record_.folder = std::string(kLabsFolder) + "/" + options_.name;
  record_.source = options_.source;
  record_.mesh = options_.mesh;
  record_.state = "starting";
  record_.supervisor = ::getpid();
  record_.link_netns = "weft-" + options_.name + "-net";
}

Supervisor::~Supervisor() {
  for (const int fd : {signal_fd_, folder_fd_, lock_fd_, progress_fd_}) {
    if (fd >= 0) ::close(fd);
  }
}

int Supervisor::run() {
  const auto start = Clock::now();
  const auto up = bring_up();
  if (up) {
    record_.state = "ready";
    publish();
    say("lab " + record_.name + " is up after " + seconds_since(start));
    ::close(std::exchange(progress_fd_, -1));
    serve();
  } else {
    say("error: " + up.error());
  }
  if (lock_fd_ < 0) return 1;  // nothing of it is ours
  record_.state = "stopping";
  publish();
  socket_.reset();
  const auto down = tear_down(record_);
  if (!down) say("error: " + down.error());
  return up && down ? 0 : 1;
}

Outcome<Done> Supervisor::bring_up() {
  TRY_DO(make_run_folder());
  TRY_DO(plan_nodes());
  TRY_DO(make_network());
  if (record_.mesh) TRY_DO(start_programs());
  kubelet_ = std::make_unique<Kubelet>(record_, find_program("weft-waypoint").value_or(""),
                                       [this](const std::string& line) { log(line); });
  kubelet_->reconcile();
  TRY_DO(wait_for_pods());
  if (record_.mesh) TRY_DO(wait_for_sync());
  return Done{};
}

Outcome<Done> Supervisor::make_run_folder() {
  TRY_DO(make_folders(record_.folder + "/logs"));
  lock_fd_ = ::open(record_.lock().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_fd_ < 0) return problem_with_errno("open " + record_.lock());
  if (::flock(lock_fd_, LOCK_EX | LOCK_NB) != 0) {
    ::close(std::exchange(lock_fd_, -1));
    return problem("a lab named " + record_.name + " is running (weft lab down " + record_.name +
                   ", or choose another --name)");
  }
  TRY(const std::string root, cgroup_root());
  record_.cgroup = root + "/weft-lab-" + record_.name;
  TRY_DO(write_record(record_));
  TRY_DO(refuse(check_folder(options_.source)));
  TRY_DO(copy_source(options_.source, record_.folder));
  TRY_DO(refuse(read_contents(record_.manifests()).problems));
  folder_fd_ = ::inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  if (folder_fd_ < 0 ||
      ::inotify_add_watch(folder_fd_, record_.manifests().c_str(),
                          IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE) < 0) {
    return problem_with_errno("watch " + record_.manifests());
  }
  auto socket = PacketSocket::listen_at(record_.socket());
  if (!socket) return problem(socket.error());
  socket_ = *std::move(socket);
  return Done{};
}

// Nodes: those that Node objects or Pods name; two when nobody names any.
Outcome<Done> Supervisor::plan_nodes() {
  const Contents contents = read_contents(record_.manifests());
  std::vector<std::string> names = contents.nodes;
  for (const auto& [key, pod] : contents.pods) {
    if (!pod.node.empty()) names.push_back(pod.node);
  }
  if (names.empty()) names = {"node-1", "node-2"};
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  if (names.size() > kNodesMax) return problem("more than 200 nodes");
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string folder = record_.folder + "/nodes/" + names[i];
    TRY_DO(make_folders(folder));
    record_.nodes.push_back({.name = names[i],
                             .netns = "weft-" + record_.name + "-" + names[i],
                             .addresses = node_addresses(static_cast<int>(i) + 1),
                             .agent_socket = folder + "/agent.sock",
                             .zds_socket = folder + "/zds.sock"});
    const std::string file = node_file(record_.manifests(), names[i]);
    if (!exists(file)) {
      TRY_DO(write_file(file, node_object(names[i], record_.nodes.back().addresses)));
    }
  }
  return write_record(record_);
}

Outcome<Done> Supervisor::make_network() {
  TRY_DO(make_cgroup(record_.cgroup));
  TRY_DO(make_netns(record_.link_netns));
  LinkPlan plan{.netns = record_.link_netns, .node_netns = {}};
  std::string names;
  for (const NodeRecord& node : record_.nodes) {
    TRY_DO(make_netns(node.netns));
    plan.node_netns.push_back(node.netns);
    names += " " + node.name;
  }
  TRY_DO(connect_nodes(plan));
  say("network: nodes" + names + " joined by a link");
  return Done{};
}

Outcome<Done> Supervisor::start_programs() {
  programs_ = std::make_unique<Programs>(record_, options_);
  TRY_DO(programs_->prepare());
  TRY_DO(write_record(record_));
  TRY_DO(start_program("control", kProgramWithin));
  TRY(const auto problems, control_problems(control_of(record_)));
  TRY_DO(refuse(problems));
  for (const char* part : {"/agent", "/ztunnel"}) {
    for (const NodeRecord& node : record_.nodes) {
      TRY_DO(start_program(node.name + part, kProgramWithin));
    }
  }
  return Done{};
}

Outcome<Done> Supervisor::start_program(const std::string& name, seconds within) {
  const auto start = Clock::now();
  TRY_DO(programs_->start(name));
  bool ended = false;
  auto ready = run_until(
      [&] {
        ended = !programs_->is_running(name);
        return ended || programs_->is_ready(name);
      },
      within, name + " did not become ready");
  if (!ready) return problem(ready.error() + "; its log ends:\n" + tail(record_.log_of(name), 8));
  if (ended) return problem(programs_->last_words());
  say(name + " is ready after " + seconds_since(start));
  return Done{};
}

Outcome<Done> Supervisor::wait_for_pods() {
  auto ready = run_until([&] { return kubelet_->all_ready(); }, kPodsWithin, "pods are not ready");
  if (!ready) {
    const std::string which = kubelet_->not_ready();
    return problem(ready.error() + (which.empty() ? "" : ": " + which));
  }
  std::string names;
  for (const PodRecord& pod : record_.pods) {
    names += " " + pod.key() + (pod.enrolled ? "" : " (not in the mesh)");
  }
  if (record_.pods.size() > kPodsNamed) names = " " + std::to_string(record_.pods.size());
  say("pods are ready:" + names);
  return Done{};
}

Outcome<Done> Supervisor::wait_for_sync() {
  std::string last = "control does not answer";
  auto synced = run_until(
      [&] {
        const auto sync = control_sync(control_of(record_));
        if (!sync) return false;
        last = waiting_for({{.name = "control", .sync = *sync, .wanted = sync->version}});
        return last.empty();
      },
      kSyncWithin, "the nodes do not have the current configuration");
  if (!synced) return problem(synced.error() + ": " + last);
  return Done{};
}

void Supervisor::serve() {
  while (!stopping_) {
    poll_once(milliseconds(60000));
    while (!requests_.empty() && !stopping_) {
      Request request = std::move(requests_.front());
      requests_.pop_front();
      const std::string reply = answer(request.packet);
      [[maybe_unused]] const auto sent = request.client.send(reply);
    }
  }
}

Outcome<Done> Supervisor::run_until(const std::function<bool()>& done, milliseconds within,
                                    const std::string& what) {
  const auto deadline = Clock::now() + within;
  while (!done()) {
    if (stopping_) return problem("stopped");
    if (Clock::now() >= deadline) return problem(what);
    poll_once(milliseconds(20));
  }
  return Done{};
}

void Supervisor::poll_once(milliseconds at_most) {
  auto until = Clock::now() + at_most;
  const auto sooner = [&](const std::optional<Clock::time_point>& due) {
    if (due) until = std::min(until, *due);
  };
  if (programs_) sooner(programs_->tick(Clock::now()));
  if (kubelet_) sooner(kubelet_->tick(Clock::now()));
  publish();
  if (folder_dirty_) sooner(Clock::now() + milliseconds(20));  // a burst of writes is one change
  const auto wait = std::chrono::ceil<milliseconds>(until - Clock::now());
  std::array<pollfd, 4> fds = {
      pollfd{.fd = signal_fd_, .events = POLLIN, .revents = 0},
      pollfd{.fd = folder_fd_, .events = POLLIN, .revents = 0},
      pollfd{.fd = socket_ ? socket_->fd() : -1, .events = POLLIN, .revents = 0},
      pollfd{.fd = progress_fd_, .events = 0, .revents = 0}};  // POLLERR: the reader is gone
  const int ready =
      ::poll(fds.data(), fds.size(), static_cast<int>(std::max<std::int64_t>(wait.count(), 0)));
  if (fds[3].revents & POLLERR) stopping_ = true;
  if (ready == 0 && folder_dirty_ && kubelet_) {
    folder_dirty_ = false;
    kubelet_->reconcile();
  }
  if (fds[0].revents != 0) read_signals();
  if (fds[1].revents != 0) read_folder_events();
  if (fds[2].revents != 0) read_request();
}

void Supervisor::read_signals() {
  signalfd_siginfo info{};
  while (::read(signal_fd_, &info, sizeof info) == sizeof info) {
    if (info.ssi_signo != SIGCHLD) stopping_ = true;
  }
  int status = 0;
  for (pid_t pid; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
    if (programs_ && programs_->ended(pid, status)) {
      log(programs_->last_words());
    } else if (kubelet_) {
      kubelet_->ended(pid, status);
    }
  }
}

void Supervisor::read_folder_events() {
  alignas(inotify_event) char buffer[16384];
  for (;;) {
    const ssize_t got = ::read(folder_fd_, buffer, sizeof buffer);
    if (got <= 0) return;
    for (const char* at = buffer; at < buffer + got;) {
      const auto* event = reinterpret_cast<const inotify_event*>(at);
      if (event->len == 0 || is_manifest_name(event->name)) folder_dirty_ = true;
      at += sizeof *event + event->len;
    }
  }
}

void Supervisor::read_request() {
  auto client = socket_->accept();
  if (!client) return;
  auto packet = client->receive(kRequestWithin);
  if (packet) requests_.push_back({.client = *std::move(client), .packet = *std::move(packet)});
}

std::string Supervisor::answer(const std::string& packet) {
  const Json request = parse_json(packet);
  Outcome<Done> done = Done{};
  if (text(request, "op") == "down") {
    stopping_ = true;
  } else if (programs_) {
    const bool kill = text(request, "signal") == "KILL";
    done = handle_program(text(request, "op"), text(request, "program"), kill ? SIGKILL : SIGTERM);
  } else {
    done = problem("this lab runs without the mesh's programs");
  }
  publish();
  if (done) return to_text({{"ok", true}});
  return to_text({{"ok", false}, {"error", done.error()}});
}

Outcome<Done> Supervisor::handle_program(const std::string& op, const std::string& name,
                                         int signal) {
  if (op != "stop" && op != "start" && op != "restart") return problem("unknown request " + op);
  TRY(const auto names, programs_->resolve(name));
  for (const std::string& one : names) {
    if (op != "start") {
      TRY_DO(programs_->stop(one, signal));
      TRY_DO(run_until([&] { return !programs_->is_running(one); }, kStopWithin,
                       one + " does not end"));
    }
    if (op == "stop") continue;
    TRY_DO(start_program(one, kProgramWithin));
    if (kubelet_ && one.ends_with("/agent")) kubelet_->resync_agent(one.substr(0, one.rfind('/')));
  }
  return Done{};
}

void Supervisor::publish() {
  if (lock_fd_ < 0 || record_.cgroup.empty()) return;
  const std::string text = to_json(record_);
  if (text == published_) return;
  if (auto written = write_record(record_); written) published_ = text;
}

void Supervisor::say(const std::string& line) {
  log(line);
  if (progress_fd_ < 0) return;
  const std::string text = line + "\n";
  if (::write(progress_fd_, text.data(), text.size()) < 0) stopping_ = true;
}

void Supervisor::log(const std::string& line) {
  const int fd = ::open((record_.folder + "/logs/lab.log").c_str(),
                        O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return;
  std::array<char, 32> stamp{};
  const std::time_t now = std::time(nullptr);
  std::tm broken{};
  ::gmtime_r(&now, &broken);
  std::strftime(stamp.data(), stamp.size(), "%FT%TZ ", &broken);
  const std::string text = stamp.data() + line + "\n";
  [[maybe_unused]] const ssize_t written = ::write(fd, text.data(), text.size());
  ::close(fd);
}

}  // namespace mesh::cli::lab
