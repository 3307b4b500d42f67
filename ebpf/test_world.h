#pragma once
// A little world for the namespace tests: a pod and an outsider joined by a link, an application on
// each side, and a tiny proxy that plays ztunnel. Everything has a name of its own and is gone when
// its object is.

#include <sys/socket.h>
#include <sys/types.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "ebpf/unique_fd.h"
#include "mesh/net/address.h"
#include "mesh/net/netns.h"

namespace mesh::ebpf {

inline constexpr const char* kPodV4 = "10.77.0.1";
inline constexpr const char* kPodV6 = "fd00:77::1";
inline constexpr const char* kOutsiderV4 = "10.77.0.2";
inline constexpr const char* kOutsiderV6 = "fd00:77::2";
// Addresses behind the outsider: what the pod dials.
inline constexpr const char* kServiceV4 = "10.88.0.9";
inline constexpr const char* kServiceV6 = "fd00:88::9";

// How long something that must happen may take before the test fails.
inline constexpr std::chrono::seconds kPatience{20};
// How long something must stay undone before the test believes that it will not happen.
inline constexpr std::chrono::milliseconds kSilence{300};

// Runs `command` with the shell; its exit status must be 0. Returns what it printed.
std::string shell(const std::string& command);
// Asks until it is true, or patience is over.
bool eventually(const std::function<bool()>& condition);

class World {
 public:
  World();
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  net::NetworkNamespace& pod() { return *pod_; }
  net::NetworkNamespace& outsider() { return *outsider_; }
  std::string pod_path() const { return "/run/netns/" + name_ + "p"; }
  // `ip` in the pod's namespace.
  std::string pod_ip(const std::string& arguments) const;
  std::string in_pod(const std::string& command) const;
  // Is a connection of the pod in TIME_WAIT?
  bool has_time_wait() const;

 private:
  std::string name_;
  std::optional<net::NetworkNamespace> pod_;
  std::optional<net::NetworkNamespace> outsider_;
};

// A TCP or UDP socket with short blocking calls.
class Talk {
 public:
  Talk() = default;
  explicit Talk(UniqueFd socket) : socket_(std::move(socket)) {}

  // In `netns`, to `ip`:`port`; none if that fails or takes longer than `patience`.
  static std::optional<Talk> connect(const net::NetworkNamespace& netns, std::string_view ip,
                                     std::uint16_t port,
                                     std::chrono::milliseconds patience = kPatience,
                                     int type = SOCK_STREAM, std::uint32_t mark = 0,
                                     std::uint16_t from_port = 0);
  bool say(std::string_view text);
  // What comes within `patience`, up to 4 KiB; "" at its end, "(silence)" or "(reset)".
  std::string hear(std::chrono::milliseconds patience = kPatience);
  // Hears until `text` was said.
  bool hears(std::string_view text);
  void hang_up();  // no more from us
  std::string local() const;
  int fd() const { return socket_.get(); }

 private:
  UniqueFd socket_;
};

// An application that greets each client with "you are ADDRESS\n" and then returns what it is sent;
// at "bye" it hangs up.
class Echo {
 public:
  Echo(const net::NetworkNamespace& netns, std::uint16_t port);
  ~Echo();
  Echo(const Echo&) = delete;
  Echo& operator=(const Echo&) = delete;

 private:
  UniqueFd listener_;
  UniqueFd stop_;
  std::thread thread_;
};

// A process of its own, in a cgroup of its own, that listens in the pod as ztunnel does, dials what
// was dialled, and says what it saw. 15006 dials in the client's name; 15053 answers DNS with
// "answer to ..." from the dialled address.
struct ProxyOptions {
  int workers = 1;  // listeners of each port, in one SO_REUSEPORT group if there are several
  bool in_cgroup = true;
  // Instead of listening in `netns` at once: connect here and do as the node agent says.
  std::string zds_socket = {};
  std::string refusal = {};  // what it answers to each add, instead of doing it
};
class Proxy {
 public:
  Proxy(const net::NetworkNamespace& netns, ProxyOptions options = {});
  ~Proxy();  // SIGKILL
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  void kill();
  pid_t pid() const { return pid_; }
  std::uint64_t cgroup_id() const { return cgroup_id_; }
  // The next thing it saw: "15001 CLIENT -> DIALLED", "dns CLIENT -> DIALLED", "zds add UID",
  // "zds del UID", "zds snapshot", "zds end"; "" after kPatience.
  std::string saw();

 private:
  std::string cgroup_;
  std::uint64_t cgroup_id_ = 0;
  pid_t pid_ = -1;
  UniqueFd reports_;
};

// Watches all frames that reach the outsider.
class Wiretap {
 public:
  explicit Wiretap(const net::NetworkNamespace& netns);
  // Was `text` in any frame until now?
  bool heard(std::string_view text);
  // Did anybody ask for a TCP connection to `port` until now?
  bool heard_syn_to(std::uint16_t port);

 private:
  void drain();
  UniqueFd socket_;
  std::vector<std::string> frames_;
};

}  // namespace mesh::ebpf
