#include "control/http_server.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <list>
#include <vector>

#include "mesh/net/http_status.h"

namespace mesh::control {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMaxConnections = 64;
constexpr std::chrono::seconds kPatience{10};

std::string format(const HttpResponse& response, bool with_body) {
  std::string text = "HTTP/1.1 " + std::to_string(response.status) + " " +
                     std::string(net::reason_phrase(response.status)) +
                     "\r\ncontent-type: " + response.content_type +
                     "\r\ncontent-length: " + std::to_string(response.body.size()) +
                     "\r\ncache-control: no-store\r\nconnection: close\r\n";
  if (response.status == 405) text += "allow: GET, HEAD, POST\r\n";
  if (response.status == 401) text += "www-authenticate: Bearer\r\n";
  text += "\r\n";
  if (with_body) text += response.body;
  return text;
}

// One connection: its request as far as it came, then its answer as far as it went.
bool is_known(const std::string& method) {
  return method == "GET" || method == "HEAD" || method == "POST";
}

struct Connection {
  int fd = -1;
  std::string received;
  std::string answer;
  std::size_t sent = 0;
  bool closing = false;  // all is said; waiting for the peer to hang up
  Clock::time_point deadline;

  explicit Connection(int accepted) : fd(accepted), deadline(Clock::now() + kPatience) {}
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() { ::close(fd); }

  short events() const { return !answer.empty() && !closing ? POLLOUT : POLLIN; }

  // False: done with it.
  bool advance(const HttpServer::Handler& handler) {
    if (closing) {
      char rest[1024];
      return ::recv(fd, rest, sizeof rest, 0) > 0;
    }
    return answer.empty() ? receive(handler) : send();
  }

 private:
  bool receive(const HttpServer::Handler& handler) {
    char buffer[4096];
    const ssize_t got = ::recv(fd, buffer, sizeof buffer, 0);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) return false;
    received.append(buffer, static_cast<std::size_t>(got));
    const admin::Parsed parsed = admin::parse_request(received);
    if (parsed.result == admin::ParseResult::kMore) return true;
    deadline = Clock::now() + kPatience;
    if (parsed.result == admin::ParseResult::kBad) {
      answer = format({.status = parsed.status, .content_type = "text/plain", .body = {}}, false);
    } else if (!is_known(parsed.request.method)) {
      answer = format({.status = 405, .content_type = "text/plain", .body = {}}, false);
    } else {
      answer = format(handler(parsed.request), parsed.request.method != "HEAD");
    }
    return send();
  }

  bool send() {
    const ssize_t went =
        ::send(fd, answer.data() + sent, answer.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (went < 0) return errno == EAGAIN || errno == EINTR;
    sent += static_cast<std::size_t>(went);
    deadline = Clock::now() + kPatience;
    if (sent < answer.size()) return true;
    // Closing with unread bytes would reset the connection and lose the answer.
    closing = true;
    return ::shutdown(fd, SHUT_WR) == 0;
  }
};

Result<int> listen_on(const net::SocketAddress& address) {
  sockaddr_storage storage{};
  const socklen_t length = address.to_sockaddr(storage);
  const int fd = ::socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return failed_with_errno(errno, "socket");
  const int on = 1;
  const int off = 0;
  (void)::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (storage.ss_family == AF_INET6) {
    (void)::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  }
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&storage), length) != 0 ||
      ::listen(fd, 64) != 0) {
    const int error = errno;
    ::close(fd);
    return failed_with_errno(error, "bind");
  }
  return fd;
}

std::uint16_t port_of(int fd) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return 0;
  const auto address = net::SocketAddress::from_sockaddr(storage);
  return address ? address->port : 0;
}

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::start(const net::SocketAddress& address,
                                                      Handler handler) {
  TRY(const int listener, listen_on(address));
  const int wake = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake < 0) {
    const int error = errno;
    ::close(listener);
    return failed_with_errno(error, "eventfd");
  }
  return std::unique_ptr<HttpServer>(
      new HttpServer(listener, wake, port_of(listener), std::move(handler)));
}

HttpServer::HttpServer(int listener, int wake, std::uint16_t port, Handler handler)
    : listener_(listener), wake_(wake), port_(port), handler_(std::move(handler)) {
  thread_ = std::thread([this] { run(); });
}

HttpServer::~HttpServer() {
  stopping_ = true;
  const std::uint64_t one = 1;
  (void)!::write(wake_, &one, sizeof one);
  thread_.join();
  ::close(listener_);
  ::close(wake_);
}

void HttpServer::run() {
  std::list<Connection> connections;
  while (!stopping_) {
    std::vector<pollfd> fds;
    fds.push_back({wake_, POLLIN, 0});
    fds.push_back({listener_, POLLIN, 0});
    for (const Connection& connection : connections) {
      fds.push_back({connection.fd, connection.events(), 0});
    }
    (void)::poll(fds.data(), fds.size(), connections.empty() ? -1 : 1000);
    std::size_t at = 2;
    const auto now = Clock::now();
    for (auto it = connections.begin(); it != connections.end(); ++at) {
      const bool ready = fds[at].revents != 0;
      const bool keep = (!ready || it->advance(handler_)) && now < it->deadline;
      it = keep ? std::next(it) : connections.erase(it);
    }
    if ((fds[1].revents & POLLIN) != 0) {
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
      if (fd < 0) continue;
      // Whoever has taken longest makes room: strangers who say nothing keep nobody out.
      if (connections.size() == kMaxConnections) connections.pop_front();
      connections.emplace_back(fd);
    }
  }
}

}  // namespace mesh::control
