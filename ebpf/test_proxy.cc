// The tiny proxy of test_world.h: a thread a connection, nothing clever.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <cstring>
#include <fstream>
#include <iterator>
#include <mutex>
#include <thread>

#include "ebpf/cgroup.h"
#include "ebpf/seqpacket.h"
#include "ebpf/shared.h"
#include "ebpf/test_world.h"

namespace mesh::ebpf {
namespace {

constexpr int kOn = 1;

void turn_on(int fd, int level, int option) { setsockopt(fd, level, option, &kOn, sizeof kOn); }

// All of the proxy's threads; made in the child process.
class ProxyProcess {
 public:
  ProxyProcess(net::NetworkNamespace netns, int reports, bool shares_ports)
      : netns_(std::move(netns)), reports_(reports), shares_ports_(shares_ports) {}

  void move_to(net::NetworkNamespace netns) {
    const std::lock_guard lock(entering_);
    netns_ = std::move(netns);
  }

  void listen(std::uint16_t port) {
    const int fd = open(AF_INET6, SOCK_STREAM);
    bind_wildcard(fd, port);
    ::listen(fd, 128);
    std::thread([this, fd, port] { accept_loop(fd, port); }).detach();
  }

  void answer_dns() {
    const int fd = open(AF_INET6, SOCK_DGRAM);
    turn_on(fd, IPPROTO_IP, IP_RECVORIGDSTADDR);
    turn_on(fd, IPPROTO_IPV6, IPV6_RECVORIGDSTADDR);
    bind_wildcard(fd, WEFT_PORT_DNS);
    std::thread([this, fd] { dns_loop(fd); }).detach();
  }

  void report(const std::string& line) {
    const std::string text = line + "\n";
    static_cast<void>(!::write(reports_, text.data(), text.size()));
  }

 private:
  int open(int family, int type) {
    const std::lock_guard lock(entering_);
    int fd = -1;
    static_cast<void>(netns_.run([&] { fd = ::socket(family, type | SOCK_CLOEXEC, 0); }));
    turn_on(fd, SOL_SOCKET, SO_REUSEADDR);
    turn_on(fd, IPPROTO_IP, IP_TRANSPARENT);
    if (family == AF_INET6) turn_on(fd, IPPROTO_IPV6, IPV6_TRANSPARENT);
    return fd;
  }

  void bind_wildcard(int fd, std::uint16_t port) {
    const int off = 0;
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (shares_ports_) turn_on(fd, SOL_SOCKET, SO_REUSEPORT);
    sockaddr_in6 any{};
    any.sin6_family = AF_INET6;
    any.sin6_port = htons(port);
    if (::bind(fd, reinterpret_cast<sockaddr*>(&any), sizeof any) < 0) report("cannot bind");
  }

  void accept_loop(int listener, std::uint16_t port) {
    for (;;) {
      sockaddr_storage storage{};
      socklen_t length = sizeof storage;
      const int client = ::accept(listener, reinterpret_cast<sockaddr*>(&storage), &length);
      if (client < 0) continue;
      const auto from = net::SocketAddress::from_sockaddr(storage);
      length = sizeof storage;
      getsockname(client, reinterpret_cast<sockaddr*>(&storage), &length);
      const auto to = net::SocketAddress::from_sockaddr(storage);
      report(std::to_string(port) + " " + from->ip.to_string() + " -> " + to->to_string());
      std::thread([this, client, port, from = *from, to = *to] {
        serve(client, port, from, to);
      }).detach();
    }
  }

  void serve(int client, std::uint16_t port, const net::SocketAddress& from,
             const net::SocketAddress& to) {
    const int server = open(to.ip.is_v4() ? AF_INET : AF_INET6, SOCK_STREAM);
    sockaddr_storage storage{};
    if (port == WEFT_PORT_INBOUND) {
      const socklen_t length = net::SocketAddress{from.ip, 0}.to_sockaddr(storage);
      ::bind(server, reinterpret_cast<sockaddr*>(&storage), length);
    }
    const socklen_t length = to.to_sockaddr(storage);
    if (::connect(server, reinterpret_cast<sockaddr*>(&storage), length) == 0) {
      std::thread back([server, client] { pump(server, client); });
      pump(client, server);
      back.join();
    } else {
      const linger reset{1, 0};
      setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    ::close(client);
    ::close(server);
  }

  static void pump(int from, int to) {
    std::array<char, 16384> buffer;
    for (;;) {
      const ssize_t size = ::recv(from, buffer.data(), buffer.size(), 0);
      if (size < 0) {
        // A reset on one side is a reset on the other.
        const linger reset{1, 0};
        setsockopt(to, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        setsockopt(from, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        ::shutdown(to, SHUT_RD);
        break;
      }
      if (size == 0) break;
      if (::send(to, buffer.data(), static_cast<std::size_t>(size), MSG_NOSIGNAL) < 0) break;
    }
    ::shutdown(to, SHUT_WR);
  }

  void dns_loop(int fd) {
    for (;;) {
      std::array<char, 1500> question;
      std::array<char, 256> control;
      sockaddr_storage peer{}, dialled{};
      iovec part{question.data(), question.size()};
      msghdr message{&peer, sizeof peer, &part, 1, control.data(), control.size(), 0};
      const ssize_t size = recvmsg(fd, &message, 0);
      if (size < 0) continue;
      for (cmsghdr* each = CMSG_FIRSTHDR(&message); each; each = CMSG_NXTHDR(&message, each))
        if (each->cmsg_type == IP_ORIGDSTADDR || each->cmsg_type == IPV6_ORIGDSTADDR)
          std::memcpy(&dialled, CMSG_DATA(each), each->cmsg_len - CMSG_LEN(0));
      const auto to = net::SocketAddress::from_sockaddr(dialled);
      const auto from = net::SocketAddress::from_sockaddr(peer);
      report("dns " + from->ip.to_string() + " -> " + to->to_string());
      const int answer = open(to->ip.is_v4() ? AF_INET : AF_INET6, SOCK_DGRAM);
      sockaddr_storage storage{};
      socklen_t length = to->to_sockaddr(storage);
      ::bind(answer, reinterpret_cast<sockaddr*>(&storage), length);
      length = from->to_sockaddr(storage);
      const std::string text =
          "answer to " + std::string(question.data(), static_cast<std::size_t>(size));
      ::sendto(answer, text.data(), text.size(), 0, reinterpret_cast<sockaddr*>(&storage), length);
      ::close(answer);
    }
  }

  net::NetworkNamespace netns_;
  int reports_;
  bool shares_ports_;  // Linux 6.1 cannot assign to a listener that does
  std::mutex entering_;
};

void listen_everywhere(ProxyProcess& proxy, int workers) {
  for (int i = 0; i < workers; ++i)
    for (const int port : {WEFT_PORT_OUTBOUND, WEFT_PORT_INBOUND, WEFT_PORT_HBONE, WEFT_PORT_DNS})
      proxy.listen(static_cast<std::uint16_t>(port));
  proxy.answer_dns();
}

// The bytes of a length-delimited field inside another: all that a ZDS message is.
std::string inner_field(std::string_view bytes) {
  if (bytes.size() < 2) return {};
  const auto length = static_cast<std::size_t>(static_cast<unsigned char>(bytes[1]));
  return std::string(bytes.substr(2, length));
}

// Plays ztunnel on the node agent's socket, for ever. Pods share one listener set: their first.
void obey(ProxyProcess& proxy, const ProxyOptions& options) {
  const UniqueFd agent = dial_seqpacket(options.zds_socket);
  const std::byte hello[] = {std::byte{8}, std::byte{1}};
  static_cast<void>(send_packet(agent.get(), hello));
  for (;;) {
    pollfd polled{agent.get(), POLLIN, 0};
    poll(&polled, 1, -1);
    auto packet = receive_packet(agent.get(), 1024);
    if (!packet || packet->bytes.empty()) break;
    const std::string_view bytes(reinterpret_cast<const char*>(packet->bytes.data()),
                                 packet->bytes.size());
    const std::string uid = inner_field(inner_field(bytes));
    std::string ack = std::string("\x0a\x00", 2);
    if (bytes[0] == 0x0a && !options.refusal.empty()) {
      const char size = static_cast<char>(options.refusal.size());
      ack = std::string{'\x0a', static_cast<char>(size + 2), '\x0a', size} + options.refusal;
    } else if (bytes[0] == 0x0a) {
      auto netns = net::NetworkNamespace::adopt(packet->descriptors.at(0).release());
      proxy.move_to(*std::move(netns));
      listen_everywhere(proxy, options.workers);
    }
    proxy.report(bytes[0] == 0x0a   ? "zds add " + uid
                 : bytes[0] == 0x12 ? "zds del " + uid
                                    : "zds snapshot");
    static_cast<void>(send_packet(agent.get(), std::as_bytes(std::span(ack))));
  }
  proxy.report("zds end");
}

std::string make_cgroup() {
  static std::atomic<int> serial = 0;
  std::ifstream mounts("/proc/mounts");
  const std::string text(std::istreambuf_iterator<char>(mounts), {});
  const std::string mount = find_cgroup2_mount(text);
  REQUIRE(!mount.empty());
  const std::string path =
      mount + "/weft-test-" + std::to_string(getpid()) + "-" + std::to_string(++serial);
  REQUIRE(mkdir(path.c_str(), 0755) == 0);
  return path;
}

[[noreturn]] void run_proxy(const net::NetworkNamespace& netns, ProxyOptions options,
                            const std::string& cgroup, int reports) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (options.in_cgroup) std::ofstream(cgroup + "/cgroup.procs") << getpid() << std::flush;
  auto own = net::NetworkNamespace::open("/proc/self/fd/" + std::to_string(netns.fd()));
  ProxyProcess proxy(*std::move(own), reports, options.workers > 1 || !options.zds_socket.empty());
  proxy.report("ready");
  if (options.zds_socket.empty()) {
    listen_everywhere(proxy, options.workers);
    proxy.report("listening");
  } else {
    obey(proxy, options);
  }
  for (;;) pause();
}

}  // namespace

Proxy::Proxy(const net::NetworkNamespace& netns, ProxyOptions options) : cgroup_(make_cgroup()) {
  struct stat status{};
  REQUIRE(stat(cgroup_.c_str(), &status) == 0);
  cgroup_id_ = status.st_ino;
  int ends[2];
  REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
  reports_ = UniqueFd(ends[0]);
  pid_ = fork();
  if (pid_ == 0) run_proxy(netns, options, cgroup_, ends[1]);
  ::close(ends[1]);
  REQUIRE(saw() == "ready");
  if (options.zds_socket.empty()) REQUIRE(saw() == "listening");
}

Proxy::~Proxy() {
  kill();
  eventually([this] { return rmdir(cgroup_.c_str()) == 0 || errno == ENOENT; });
}

void Proxy::kill() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

std::string Proxy::saw() {
  std::string line;
  for (;;) {
    pollfd polled{reports_.get(), POLLIN, 0};
    if (poll(&polled, 1, 5000) <= 0) return line;
    char c = 0;
    if (::read(reports_.get(), &c, 1) != 1 || c == '\n') return line;
    line += c;
  }
}

}  // namespace mesh::ebpf
