// weft-cni: the CNI plugin that a container runtime starts for each pod, chained after the
// cluster's own. It asks weft-agent on this node, and passes the result on as it is.

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>

#include "ebpf/cni/plugin.h"
#include "ebpf/seqpacket.h"

namespace mesh::ebpf::cni {
namespace {

// Longer than whatever the agent may wait for.
constexpr int kAnswerWithinMs = 30'000;
constexpr std::size_t kAnswerBytesMax = 64 * 1024;

// At most one byte more than is allowed.
std::string read_input() {
  std::string text;
  std::array<char, 16384> chunk;
  while (text.size() <= kConfigBytesMax) {
    const ssize_t size = ::read(STDIN_FILENO, chunk.data(), chunk.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    text.append(chunk.data(), static_cast<std::size_t>(size));
  }
  return text;
}

std::expected<std::string, std::string> ask_agent(const std::string& socket,
                                                  const std::string& request,
                                                  const std::string& netns) {
  const UniqueFd agent = dial_seqpacket(socket);
  if (!agent) return std::unexpected(std::string(std::strerror(errno)));
  UniqueFd descriptor;
  if (!netns.empty()) {
    descriptor = UniqueFd(::open(netns.c_str(), O_RDONLY | O_CLOEXEC));
    if (!descriptor) return std::unexpected(netns + ": " + std::strerror(errno));
  }
  if (!send_packet(agent.get(), std::as_bytes(std::span(request)), descriptor.get()))
    return std::unexpected(std::string("cannot send: ") + std::strerror(errno));
  pollfd polled{agent.get(), POLLIN, 0};
  if (poll(&polled, 1, kAnswerWithinMs) <= 0) return std::unexpected("no answer within 30 s");
  const auto packet = receive_packet(agent.get(), kAnswerBytesMax);
  if (!packet || packet->bytes.empty() || packet->truncated)
    return std::unexpected("it hung up without an answer");
  return std::string(reinterpret_cast<const char*>(packet->bytes.data()), packet->bytes.size());
}

int run(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--version") {
    std::puts("weft-cni " WEFT_VERSION);
    return 0;
  }
  if (argc > 1) {
    std::fputs(
        "weft-cni: a CNI plugin; a container runtime starts it, with CNI_* variables and a "
        "configuration on stdin\n",
        argc == 2 && std::string_view(argv[1]) == "--help" ? stdout : stderr);
    return argc == 2 && std::string_view(argv[1]) == "--help" ? 0 : 1;
  }
  const Answer answer = run_plugin(
      [](const char* name) {
        const char* value = std::getenv(name);
        return std::string(value != nullptr ? value : "");
      },
      read_input(), ask_agent);
  std::fwrite(answer.text.data(), 1, answer.text.size(), stdout);
  return std::fflush(stdout) == 0 ? answer.status : 1;
}

}  // namespace
}  // namespace mesh::ebpf::cni

int main(int argc, char** argv) { return mesh::ebpf::cni::run(argc, argv); }
