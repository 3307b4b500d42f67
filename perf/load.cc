// weft-load: a bounded load generator, client and server, for `make perf`. Ordinary epoll sockets,
// so that what is measured is the path between them. Knows nothing of the mesh.
//
//   weft-load serve PORT
//   weft-load bulk HOST:PORT --streams N --seconds S --direction up|down
//   weft-load rr HOST:PORT --connections N --size BYTES --seconds S
//   weft-load connect HOST:PORT --at-once N --seconds S
//   weft-load idle HOST:PORT --connections N        (holds them until standard input closes)
//
// Clients print one JSON object. The first byte a client sends says what the server does with the
// rest: 'e' echoes, 's' swallows, 'p' produces.

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mesh/net/address.h"

namespace {

using mesh::net::SocketAddress;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kChunk = 256 * 1024;

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "weft-load: %s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

struct Connection {
  int fd = -1;
  char mode = 0;                // server: 'e', 's', 'p' once known
  std::size_t owed = 0;         // server: bytes received and still to be echoed
  std::size_t outstanding = 0;  // client: bytes of the current round trip still to come
  Clock::time_point started;
};

void prepare(int fd) {
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

class Poll {
 public:
  void watch(Connection& connection, std::uint32_t events, int operation = EPOLL_CTL_ADD) {
    epoll_event event{.events = events, .data = {.ptr = &connection}};
    if (epoll_ctl(fd_, operation, connection.fd, &event) < 0) die("epoll_ctl");
  }
  // Calls `handle` for what is ready; waits at most `milliseconds`.
  template <class Handle>
  void turn(int milliseconds, Handle handle) {
    epoll_event events[256];
    const int ready = epoll_wait(fd_, events, 256, milliseconds);
    for (int i = 0; i < ready; ++i)
      handle(*static_cast<Connection*>(events[i].data.ptr), events[i].events);
  }

 private:
  int fd_ = epoll_create1(EPOLL_CLOEXEC);
};

// ---- server

std::vector<char>& scratch() {
  static std::vector<char> bytes(kChunk, 'w');
  return bytes;
}

// False when the connection is over.
bool serve_turn(Connection& connection) {
  if (connection.mode == 'p') {
    for (;;) {
      const ssize_t sent = send(connection.fd, scratch().data(), kChunk, MSG_NOSIGNAL);
      if (sent < 0) return errno == EAGAIN;
    }
  }
  for (;;) {
    while (connection.owed > 0) {
      const ssize_t sent =
          send(connection.fd, scratch().data(), std::min(connection.owed, kChunk), MSG_NOSIGNAL);
      if (sent < 0) return errno == EAGAIN;
      connection.owed -= static_cast<std::size_t>(sent);
    }
    const ssize_t got = recv(connection.fd, scratch().data(), kChunk, 0);
    if (got < 0) return errno == EAGAIN;
    if (got == 0) return false;
    std::size_t payload = static_cast<std::size_t>(got);
    if (connection.mode == 0) {
      connection.mode = scratch()[0];
      --payload;
      scratch()[0] = 'w';
      if (connection.mode == 'p') return serve_turn(connection);
    }
    if (connection.mode == 'e') connection.owed += payload;
    if (static_cast<std::size_t>(got) < kChunk && connection.owed == 0) return true;
  }
}

[[noreturn]] void serve(std::uint16_t port) {
  Connection listener;
  listener.fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int one = 1;
  setsockopt(listener.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  sockaddr_in6 any{};
  any.sin6_family = AF_INET6;
  any.sin6_port = htons(port);
  if (bind(listener.fd, reinterpret_cast<sockaddr*>(&any), sizeof any) < 0) die("bind");
  if (listen(listener.fd, 4096) < 0) die("listen");
  prepare(listener.fd);
  Poll poll;
  poll.watch(listener, EPOLLIN);
  std::map<int, std::unique_ptr<Connection>> connections;
  for (;;) {
    poll.turn(-1, [&](Connection& connection, std::uint32_t) {
      if (&connection != &listener) {
        if (serve_turn(connection)) return;
        close(connection.fd);
        connections.erase(connection.fd);
        return;
      }
      for (int fd = accept4(listener.fd, nullptr, nullptr, SOCK_CLOEXEC); fd >= 0;
           fd = accept4(listener.fd, nullptr, nullptr, SOCK_CLOEXEC)) {
        prepare(fd);
        auto accepted = std::make_unique<Connection>();
        accepted->fd = fd;
        poll.watch(*accepted, EPOLLIN | EPOLLOUT | EPOLLET | EPOLLRDHUP);
        connections[fd] = std::move(accepted);
      }
    });
  }
}

// ---- clients

struct Options {
  SocketAddress to;
  unsigned count = 1;
  std::size_t size = 1024;
  double seconds = 5;
  bool up = true;
};

int dial(const SocketAddress& to) {
  sockaddr_storage storage{};
  const socklen_t length = to.to_sockaddr(storage);
  const int fd = socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  if (connect(fd, reinterpret_cast<sockaddr*>(&storage), length) < 0)
    die("connect " + to.to_string());
  prepare(fd);
  return fd;
}

std::vector<std::unique_ptr<Connection>> dial_all(const Options& options, char mode) {
  std::vector<std::unique_ptr<Connection>> all;
  for (unsigned i = 0; i < options.count; ++i) {
    auto connection = std::make_unique<Connection>();
    connection->fd = dial(options.to);
    if (send(connection->fd, &mode, 1, MSG_NOSIGNAL) != 1) die("send");
    all.push_back(std::move(connection));
  }
  return all;
}

double since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void bulk(const Options& options) {
  const auto connections = dial_all(options, options.up ? 's' : 'p');
  Poll poll;
  for (const auto& connection : connections)
    poll.watch(*connection, options.up ? EPOLLOUT : EPOLLIN);
  std::uint64_t bytes = 0;
  const auto start = Clock::now();
  while (since(start) < options.seconds) {
    poll.turn(100, [&](Connection& connection, std::uint32_t) {
      const ssize_t moved = options.up ? send(connection.fd, scratch().data(), kChunk, MSG_NOSIGNAL)
                                       : recv(connection.fd, scratch().data(), kChunk, 0);
      if (moved == 0 || (moved < 0 && errno != EAGAIN)) die("bulk connection ended");
      if (moved > 0) bytes += static_cast<std::uint64_t>(moved);
    });
  }
  const double seconds = since(start);
  std::printf("{\"bytes\": %llu, \"seconds\": %.6f, \"gbps\": %.3f}\n",
              static_cast<unsigned long long>(bytes), seconds,
              static_cast<double>(bytes) * 8e-9 / seconds);
}

void print_latencies(std::vector<float>& microseconds, double seconds) {
  std::ranges::sort(microseconds);
  const auto at = [&](double q) {
    const auto last = static_cast<double>(microseconds.size() - 1);
    return microseconds.empty() ? 0.0f : microseconds[static_cast<std::size_t>(q * last)];
  };
  std::printf(
      "{\"count\": %zu, \"seconds\": %.6f, \"per_second\": %.1f, \"p50_us\": %.1f, \"p99_us\": "
      "%.1f}\n",
      microseconds.size(), seconds, static_cast<double>(microseconds.size()) / seconds, at(0.5),
      at(0.99));
}

void round_trips(const Options& options) {
  const auto connections = dial_all(options, 'e');
  Poll poll;
  std::vector<float> latencies;
  latencies.reserve(4'000'000);
  const auto ask = [&](Connection& connection) {
    connection.outstanding = options.size;
    connection.started = Clock::now();
    if (send(connection.fd, scratch().data(), options.size, MSG_NOSIGNAL) !=
        static_cast<ssize_t>(options.size)) {
      die("send");
    }
  };
  for (const auto& connection : connections) poll.watch(*connection, EPOLLIN);
  for (const auto& connection : connections) ask(*connection);
  const auto start = Clock::now();
  while (since(start) < options.seconds) {
    poll.turn(100, [&](Connection& connection, std::uint32_t) {
      const ssize_t got = recv(connection.fd, scratch().data(), kChunk, 0);
      if (got <= 0) die("round trip connection ended");
      connection.outstanding -= std::min(connection.outstanding, static_cast<std::size_t>(got));
      if (connection.outstanding > 0) return;
      latencies.push_back(static_cast<float>(since(connection.started) * 1e6));
      ask(connection);
    });
  }
  print_latencies(latencies, since(start));
}

// Connect, one byte there and back, close: `count` at a time.
void connects(const Options& options) {
  Poll poll;
  std::vector<float> latencies;
  std::vector<Connection> slots(options.count);
  sockaddr_storage storage{};
  const socklen_t length = options.to.to_sockaddr(storage);
  const auto begin = [&](Connection& slot) {
    slot.fd = socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (slot.fd < 0) die("socket");
    slot.mode = 0;
    slot.started = Clock::now();
    if (connect(slot.fd, reinterpret_cast<sockaddr*>(&storage), length) < 0 && errno != EINPROGRESS)
      die("connect");
    poll.watch(slot, EPOLLOUT);
  };
  for (Connection& slot : slots) begin(slot);
  const auto start = Clock::now();
  while (since(start) < options.seconds) {
    poll.turn(100, [&](Connection& slot, std::uint32_t) {
      if (slot.mode == 0) {
        if (send(slot.fd, "ew", 2, MSG_NOSIGNAL) != 2) die("new connection");
        slot.mode = 'e';
        poll.watch(slot, EPOLLIN, EPOLL_CTL_MOD);
        return;
      }
      char byte = 0;
      if (recv(slot.fd, &byte, 1, 0) != 1) die("new connection ended");
      latencies.push_back(static_cast<float>(since(slot.started) * 1e6));
      close(slot.fd);
      begin(slot);
    });
  }
  print_latencies(latencies, since(start));
}

void idle(const Options& options) {
  const auto connections = dial_all(options, 'e');
  for (const auto& connection : connections) {  // one round trip each, so that the path is open
    char byte = 'w';
    if (send(connection->fd, &byte, 1, MSG_NOSIGNAL) != 1) die("send");
    while (recv(connection->fd, &byte, 1, 0) != 1) {
      if (errno != EAGAIN) die("idle connection ended");
    }
  }
  std::printf("{\"connections\": %zu}\n", connections.size());
  std::fflush(stdout);
  char byte = 0;
  while (read(STDIN_FILENO, &byte, 1) > 0) {
  }
}

[[noreturn]] void usage() {
  std::fprintf(stderr,
               "usage: weft-load serve PORT | (bulk|rr|connect|idle) HOST:PORT "
               "[--streams|--connections|--at-once N]"
               " [--size BYTES] [--seconds S] [--direction up|down]\n");
  std::exit(2);
}

Options parse(int argc, char** argv) {
  Options options;
  const auto to = SocketAddress::parse(argv[2]);
  if (!to) usage();
  options.to = *to;
  for (int i = 3; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    const std::string value = argv[i + 1];
    if (name == "--streams" || name == "--connections" || name == "--at-once") {
      options.count = static_cast<unsigned>(std::clamp(std::atoi(value.c_str()), 1, 18000));
    } else if (name == "--size") {
      options.size = static_cast<std::size_t>(std::clamp(std::atoi(value.c_str()), 1, 65536));
    } else if (name == "--seconds") {
      options.seconds = std::clamp(std::atof(value.c_str()), 0.1, 600.0);
    } else if (name == "--direction") {
      options.up = value == "up";
    } else {
      usage();
    }
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  if (argc < 3) usage();
  const std::string command = argv[1];
  if (command == "serve") {
    const auto port = mesh::net::parse_port(argv[2]);
    if (!port) usage();
    serve(*port);
  }
  const Options options = parse(argc, argv);
  if (command == "bulk") {
    bulk(options);
  } else if (command == "rr") {
    round_trips(options);
  } else if (command == "connect") {
    connects(options);
  } else if (command == "idle") {
    idle(options);
  } else {
    usage();
  }
}
