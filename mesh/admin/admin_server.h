#pragma once
// AdminServer: a small HTTP/1.1 server for operators, probes and scrapers, on a ring.
//
// A path knows the methods it answers; anything else is 405 (404 for an unknown path). One request
// a connection, then it is closed. Handlers run on the ring's thread and must be quick.

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "mesh/admin/http_request.h"
#include "mesh/io/event.h"
#include "mesh/io/ring.h"
#include "mesh/io/socket.h"
#include "mesh/io/task.h"
#include "mesh/io/task_scope.h"

namespace mesh::admin {

inline constexpr std::size_t kConnectionsMax = 64;  // further ones wait in the kernel's backlog
inline constexpr std::chrono::seconds kRequestDeadline{10};
inline constexpr std::chrono::seconds kResponseDeadline{60};

struct Response {
  int status = 200;
  std::string content_type = "text/plain";
  std::string body = {};
};

// Status line, headers, and the body unless it answers HEAD.
std::string format_response(const Response& response, bool head_only, std::string_view date);
// "Sat, 21 Nov 2026 08:39:07 GMT"
std::string http_date(std::int64_t unix_seconds);

class Routes {
 public:
  using Handler = std::function<Response(const Request&)>;
  // For a page that has to ask others first.
  using TaskHandler = std::function<io::Task<Response>(Request)>;

  // GET; HEAD too when `with_head`.
  void get(std::string path, Handler handler, bool with_head = true);
  void post(std::string path, Handler handler);
  void get_task(std::string path, TaskHandler handler);
  // What a wrong method on that path is told, instead of an empty 405.
  void wrong_method_body(std::string path, std::string body);

  // As far as no task is needed for it.
  Response answer(const Request& request) const;
  io::Task<Response> respond(Request request) const;

 private:
  struct Path {
    std::map<std::string, Handler, std::less<>> methods;
    TaskHandler task;  // of GET and HEAD
    std::string wrong_method_body;
  };
  std::map<std::string, Path, std::less<>> paths_;
};

// Where a server is to accept: the wildcard of IPv6 is that of IPv4 where there is no IPv6. Errors:
// of Listener::listen().
Result<io::Listener> listen_for_pages(io::Ring& ring, net::SocketAddress at);

class AdminServer {
 public:
  AdminServer(io::Ring& ring, io::Listener listener, Routes routes);

  // Accepts and answers until cancelled; then no connection is left.
  io::Task<void> run();
  net::SocketAddress local_address() const { return listener_.local_address(); }

 private:
  io::Task<void> serve(io::Socket socket);
  io::Task<Result<Done>> exchange(io::Socket& socket);

  io::Ring& ring_;
  io::Listener listener_;
  Routes routes_;
  std::size_t connections_ = 0;
  io::Event room_;
};

}  // namespace mesh::admin
