#include "cli/lab/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "cli/lab/files.h"

extern char** environ;

namespace mesh::cli::lab {
namespace {

constexpr const char* kPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

Outcome<Done> join_cgroup(const std::string& cgroup) {
  const int fd = ::open((cgroup + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return problem_with_errno("join control group " + cgroup);
  const ssize_t written = ::write(fd, "0", 1);
  ::close(fd);
  if (written != 1) return problem_with_errno("join control group " + cgroup);
  return Done{};
}

Outcome<Done> join_netns(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return problem_with_errno("open network namespace " + path);
  const int joined = ::setns(fd, CLONE_NEWNET);
  ::close(fd);
  if (joined != 0) return problem_with_errno("enter network namespace " + path);
  return Done{};
}

// The process sees `source` at `target`; nobody else does. Later unmounts of the host reach it
// (slave), so that it does not keep namespaces alive that the lab takes down.
Outcome<Done> show_as(const std::string& source, const char* target) {
  if (source.empty()) return Done{};
  if (::mount(source.c_str(), target, nullptr, MS_BIND, nullptr) != 0) {
    return problem_with_errno("mount " + source + " on " + target);
  }
  return Done{};
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (const std::string& text : texts) result.push_back(const_cast<char*>(text.c_str()));
  result.push_back(nullptr);
  return result;
}

[[noreturn]] void launch_child(const Launch& what, int report) {
  const auto fail = [&](const std::string& sentence) {
    [[maybe_unused]] const ssize_t ignored = ::write(report, sentence.data(), sentence.size());
    ::_exit(127);
  };
  ::setsid();
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const int null = ::open("/dev/null", O_RDONLY);
  const int log = what.log.empty() ? ::open("/dev/null", O_WRONLY)
                                   : ::open(what.log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  if (null < 0 || log < 0) fail("open log " + what.log + ": " + std::strerror(errno));
  ::dup2(null, 0);
  ::dup2(log, 1);
  ::dup2(log, 2);
  if (auto entered = enter(what.place); !entered) fail(entered.error());
  std::vector<std::string> env = {kPath, "HOME=/root", "LANG=C.UTF-8"};
  // A sanitized lab reports where its caller asked for it.
  for (const char* name : {"ASAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"}) {
    if (const char* value = ::getenv(name)) env.push_back(std::string(name) + "=" + value);
  }
  env.insert(env.end(), what.env.begin(), what.env.end());
  const auto argv = pointers(what.argv);
  const auto envp = pointers(env);
  ::environ = const_cast<char**>(envp.data());
  ::execvp(argv[0], argv.data());
  fail("start " + what.argv[0] + ": " + std::strerror(errno));
  ::_exit(127);
}

std::string read_all(int fd) {
  std::string text;
  char buffer[4096];
  for (;;) {
    const ssize_t got = ::read(fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return text;
    text.append(buffer, static_cast<std::size_t>(got));
  }
}

}  // namespace

Outcome<Done> enter(const Place& place) {
  if (!place.cgroup.empty()) TRY_DO(join_cgroup(place.cgroup));
  if (!place.netns.empty()) TRY_DO(join_netns(place.netns));
  if (!place.resolv_conf.empty() || !place.hosts.empty()) {
    if (::unshare(CLONE_NEWNS) != 0) return problem_with_errno("make a mount namespace");
    if (::mount("", "/", nullptr, MS_SLAVE | MS_REC, nullptr) != 0) {
      return problem_with_errno("detach the mount namespace");
    }
    TRY_DO(show_as(place.resolv_conf, "/etc/resolv.conf"));
    TRY_DO(show_as(place.hosts, "/etc/hosts"));
  }
  if (!place.working_dir.empty() && ::chdir(place.working_dir.c_str()) != 0) {
    return problem_with_errno("change to folder " + place.working_dir);
  }
  return Done{};
}

Outcome<pid_t> launch(const Launch& what) {
  int report[2];
  if (::pipe2(report, O_CLOEXEC) != 0) return problem_with_errno("pipe");
  const pid_t pid = ::fork();
  if (pid < 0) {
    ::close(report[0]);
    ::close(report[1]);
    return problem_with_errno("fork");
  }
  if (pid == 0) {
    ::close(report[0]);
    launch_child(what, report[1]);
  }
  ::close(report[1]);
  const std::string failure = read_all(report[0]);
  ::close(report[0]);
  if (failure.empty()) return pid;
  ::waitpid(pid, nullptr, 0);
  return problem(failure);
}

Outcome<std::string> run(const std::vector<std::string>& argv, const std::string& input) {
  int in[2];
  int out[2];
  int err[2];
  if (::pipe2(in, O_CLOEXEC) != 0 || ::pipe2(out, O_CLOEXEC) != 0 || ::pipe2(err, O_CLOEXEC) != 0) {
    return problem_with_errno("pipe");
  }
  const pid_t pid = ::fork();
  if (pid < 0) return problem_with_errno("fork");
  if (pid == 0) {
    ::dup2(in[0], 0);
    ::dup2(out[1], 1);
    ::dup2(err[1], 2);
    const auto pointers_of = pointers(argv);
    ::execvp(pointers_of[0], pointers_of.data());
    ::_exit(127);
  }
  ::close(in[0]);
  ::close(out[1]);
  ::close(err[1]);
  // The helpers that take input (ip -batch) read it before they answer, and answer briefly.
  std::size_t sent = 0;
  while (sent < input.size()) {
    const ssize_t count = ::write(in[1], input.data() + sent, input.size() - sent);
    if (count <= 0) break;
    sent += static_cast<std::size_t>(count);
  }
  ::close(in[1]);
  const std::string output = read_all(out[0]);
  const std::string complaint = read_all(err[0]);
  ::close(out[0]);
  ::close(err[0]);
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return output;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 127) return problem(argv[0] + ": not found");
  return problem(argv[0] + ": " + complaint);
}

}  // namespace mesh::cli::lab
