#include "ebpf/test_world.h"

#include <arpa/inet.h>
#include <bpf/libbpf.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

namespace mesh::ebpf {
namespace {

// The kernel's words on what we ask it in vain (is there a clsact?) are no news here.
const libbpf_print_fn_t kBeforeSilence = libbpf_set_print(nullptr);

int milliseconds(std::chrono::milliseconds duration) { return static_cast<int>(duration.count()); }

bool is_ready(int fd, short events, std::chrono::milliseconds patience) {
  pollfd polled{fd, events, 0};
  return poll(&polled, 1, milliseconds(patience)) > 0;
}

UniqueFd socket_in(const net::NetworkNamespace& netns, int family, int type) {
  UniqueFd made;
  REQUIRE(netns.run([&] { made = UniqueFd(::socket(family, type | SOCK_CLOEXEC, 0)); }));
  REQUIRE(made);
  return made;
}

// The thread of an Echo: one poll loop over the listener and its clients.
void echo_loop(int listener, int stop) {
  std::vector<pollfd> polled{{stop, POLLIN, 0}, {listener, POLLIN, 0}};
  for (;;) {
    if (poll(polled.data(), polled.size(), -1) < 0) continue;
    if (polled[0].revents != 0) break;
    for (std::size_t i = polled.size() - 1; i > 1; --i) {
      if (polled[i].revents == 0) continue;
      std::array<char, 4096> buffer;
      const ssize_t size = ::recv(polled[i].fd, buffer.data(), buffer.size(), 0);
      if (size > 0 && std::string_view(buffer.data(), static_cast<std::size_t>(size)) != "bye") {
        ::send(polled[i].fd, buffer.data(), static_cast<std::size_t>(size), MSG_NOSIGNAL);
        continue;
      }
      ::close(polled[i].fd);
      polled.erase(polled.begin() + static_cast<std::ptrdiff_t>(i));
    }
    if (polled[1].revents == 0) continue;
    sockaddr_storage peer{};
    socklen_t length = sizeof peer;
    const int client = ::accept(listener, reinterpret_cast<sockaddr*>(&peer), &length);
    if (client < 0) continue;
    const auto address = net::SocketAddress::from_sockaddr(peer);
    const std::string greeting = "you are " + address->ip.to_string() + "\n";
    ::send(client, greeting.data(), greeting.size(), MSG_NOSIGNAL);
    polled.push_back({client, POLLIN, 0});
  }
  for (std::size_t i = 2; i < polled.size(); ++i) ::close(polled[i].fd);
}

}  // namespace

std::string shell(const std::string& command) {
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string output;
  std::array<char, 4096> buffer;
  while (const std::size_t size = fread(buffer.data(), 1, buffer.size(), pipe))
    output.append(buffer.data(), size);
  INFO(command << "\n" << output);
  REQUIRE(pclose(pipe) == 0);
  return output;
}

bool eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    poll(nullptr, 0, 2);
  }
  return true;
}

World::World() {
  static std::atomic<int> serial = 0;
  name_ = "weft-test-" + std::to_string(getpid()) + "-" + std::to_string(++serial);
  const std::string p = name_ + "p", o = name_ + "o";
  const std::string pod_mac = "02:00:00:00:00:01", outsider_mac = "02:00:00:00:00:02";
  shell("/bin/ip netns add " + p + " && /bin/ip netns add " + o +
        " && /bin/ip link add eth0 netns " + p + " address " + pod_mac +
        " type veth peer name eth0 netns " + o + " address " + outsider_mac);
  for (const auto& [ns, v4, v6] :
       {std::tuple(p, kPodV4, kPodV6), std::tuple(o, kOutsiderV4, kOutsiderV6)})
    shell("/bin/ip -n " + ns + " link set lo up && /bin/ip -n " + ns + " addr add " + v4 +
          "/24 dev eth0 && /bin/ip -n " + ns + " addr add " + v6 +
          "/64 dev eth0 nodad && /bin/ip -n " + ns + " link set eth0 up");
  // IPv6 finds a fresh neighbour only after a second; these are known.
  shell("/bin/ip -n " + p + " neigh add " + kOutsiderV6 + " lladdr " + outsider_mac + " dev eth0");
  shell("/bin/ip -n " + o + " neigh add " + kPodV6 + " lladdr " + pod_mac + " dev eth0");
  shell("/bin/ip -n " + o + " addr add " + kServiceV4 + "/32 dev lo && /bin/ip -n " + o +
        " addr add " + kServiceV6 + "/128 dev lo");
  shell("/bin/ip -n " + p + " route add default via " + kOutsiderV4 + " && /bin/ip -n " + p +
        " -6 route add default via " + kOutsiderV6);
  auto pod = net::NetworkNamespace::open("/run/netns/" + p);
  auto outsider = net::NetworkNamespace::open("/run/netns/" + o);
  REQUIRE((pod && outsider));
  pod_.emplace(*std::move(pod));
  outsider_.emplace(*std::move(outsider));
}

World::~World() {
  static_cast<void>(
      std::system(("/bin/ip netns del " + name_ + "p; /bin/ip netns del " + name_ + "o").c_str()));
}

std::string World::pod_ip(const std::string& arguments) const {
  return shell("/bin/ip -n " + name_ + "p " + arguments);
}

std::string World::in_pod(const std::string& command) const {
  return shell("/bin/ip netns exec " + name_ + "p " + command);
}

bool World::has_time_wait() const {
  bool found = false;
  REQUIRE(pod_->run([&] {
    for (const char* path : {"/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"}) {
      std::ifstream table(path);
      for (std::string line; std::getline(table, line);)
        found |= line.find(" 06 ") != std::string::npos;
    }
  }));
  return found;
}

std::optional<Talk> Talk::connect(const net::NetworkNamespace& netns, std::string_view ip,
                                  std::uint16_t port, std::chrono::milliseconds patience, int type,
                                  std::uint32_t mark, std::uint16_t from_port) {
  const auto parsed = net::IpAddress::parse(ip);
  REQUIRE(parsed);
  Talk talk(socket_in(netns, parsed->is_v4() ? AF_INET : AF_INET6, type | SOCK_NONBLOCK));
  if (mark != 0) REQUIRE(setsockopt(talk.fd(), SOL_SOCKET, SO_MARK, &mark, sizeof mark) == 0);
  sockaddr_storage storage{};
  if (from_port != 0) {
    const int on = 1;
    setsockopt(talk.fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    const auto any = parsed->is_v4() ? net::IpAddress() : net::IpAddress::v6({});
    const socklen_t length = net::SocketAddress{any, from_port}.to_sockaddr(storage);
    REQUIRE(::bind(talk.fd(), reinterpret_cast<sockaddr*>(&storage), length) == 0);
  }
  const socklen_t length = net::SocketAddress{*parsed, port}.to_sockaddr(storage);
  const int done = ::connect(talk.fd(), reinterpret_cast<sockaddr*>(&storage), length);
  if (done < 0 && (errno != EINPROGRESS || !is_ready(talk.fd(), POLLOUT, patience)))
    return std::nullopt;
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(talk.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return std::nullopt;
  return talk;
}

bool Talk::say(std::string_view text) {
  return ::send(fd(), text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

std::string Talk::hear(std::chrono::milliseconds patience) {
  if (!is_ready(fd(), POLLIN, patience)) return "(silence)";
  std::array<char, 4096> buffer;
  const ssize_t size = ::recv(fd(), buffer.data(), buffer.size(), 0);
  if (size < 0) return "(reset)";
  return {buffer.data(), static_cast<std::size_t>(size)};
}

bool Talk::hears(std::string_view text) {
  std::string heard;
  while (heard.find(text) == std::string::npos) {
    const std::string more = hear();
    if (more.empty() || more == "(silence)" || more == "(reset)") return false;
    heard += more;
  }
  return true;
}

void Talk::hang_up() { ::shutdown(fd(), SHUT_WR); }

std::string Talk::local() const {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  getsockname(fd(), reinterpret_cast<sockaddr*>(&storage), &length);
  return net::SocketAddress::from_sockaddr(storage)->to_string();
}

Echo::Echo(const net::NetworkNamespace& netns, std::uint16_t port)
    : listener_(socket_in(netns, AF_INET6, SOCK_STREAM)), stop_(eventfd(0, EFD_CLOEXEC)) {
  sockaddr_in6 any{};
  any.sin6_family = AF_INET6;
  any.sin6_port = htons(port);
  const int off = 0, on = 1;
  setsockopt(listener_.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  REQUIRE(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&any), sizeof any) == 0);
  REQUIRE(::listen(listener_.get(), 64) == 0);
  thread_ = std::thread(echo_loop, listener_.get(), stop_.get());
}

Echo::~Echo() {
  eventfd_write(stop_.get(), 1);
  thread_.join();
}

Wiretap::Wiretap(const net::NetworkNamespace& netns) {
  REQUIRE(netns.run([&] {
    socket_ =
        UniqueFd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL)));
  }));
  REQUIRE(socket_);
}

void Wiretap::drain() {
  std::array<char, 65536> frame;
  sockaddr_ll from{};
  socklen_t length = sizeof from;
  for (;;) {
    const ssize_t size = ::recvfrom(socket_.get(), frame.data(), frame.size(), 0,
                                    reinterpret_cast<sockaddr*>(&from), &length);
    if (size < 0) return;
    // What arrived from the pod, not what the outsider sent or told itself.
    if (from.sll_pkttype != PACKET_OUTGOING && from.sll_hatype == 1)
      frames_.emplace_back(frame.data(), static_cast<std::size_t>(size));
  }
}

bool Wiretap::heard(std::string_view text) {
  drain();
  for (const std::string& frame : frames_)
    if (frame.find(text) != std::string::npos) return true;
  return false;
}

bool Wiretap::heard_syn_to(std::uint16_t port) {
  drain();
  for (const std::string& frame : frames_) {
    if (frame.size() < 58) continue;
    const bool v6 = static_cast<unsigned char>(frame[12]) == 0x86;
    const std::size_t protocol_at = v6 ? 20 : 23, port_at = v6 ? 56 : 36;
    if (frame[protocol_at] != 6 || (frame[port_at + 11] & 0x12) != 0x02) continue;
    const auto high = static_cast<unsigned char>(frame[port_at]);
    const auto low = static_cast<unsigned char>(frame[port_at + 1]);
    if ((high << 8 | low) == port) return true;
  }
  return false;
}

}  // namespace mesh::ebpf
