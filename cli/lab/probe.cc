#include "cli/lab/probe.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "cli/http.h"
#include "cli/lab/network.h"

namespace mesh::cli::lab {
namespace {

constexpr std::chrono::milliseconds kProbeWithin{1000};

bool connects(const std::string& ip, int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return false;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  bool connected = ::inet_pton(AF_INET, ip.c_str(), &address.sin_addr) == 1;
  if (connected &&
      ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    pollfd wait{.fd = fd, .events = POLLOUT, .revents = 0};
    int error = errno == EINPROGRESS ? 0 : errno;
    socklen_t length = sizeof error;
    if (error == 0 && ::poll(&wait, 1, kProbeWithin.count()) != 1) error = ETIMEDOUT;
    if (error == 0) ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
    connected = error == 0;
  }
  ::close(fd);
  return connected;
}

bool succeeds(const Probe& probe, const ProbeTarget& target) {
  Launch what{.place = target.place, .argv = {"timeout", "-k", "1", "1"}, .env = {}, .log = ""};
  what.argv.insert(what.argv.end(), probe.command.begin(), probe.command.end());
  const auto pid = launch(what);
  if (!pid) return false;
  int status = 0;
  ::waitpid(*pid, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

bool probe_once(const Probe& probe, const ProbeTarget& target) {
  if (probe.kind == Probe::Kind::kNone) return true;
  if (probe.kind == Probe::Kind::kExec) return succeeds(probe, target);
  bool ready = false;
  const auto entered = inside_netns(target.netns, [&]() -> Outcome<Done> {
    if (probe.kind == Probe::Kind::kTcp) {
      ready = connects(target.address, probe.port);
    } else {
      const auto answer = http_call(
          {.url = "http://" + target.address + ":" + std::to_string(probe.port) + probe.path,
           .timeout = kProbeWithin});
      ready = answer && answer->status >= 200 && answer->status < 400;
    }
    return Done{};
  });
  return entered && ready;
}

}  // namespace mesh::cli::lab
