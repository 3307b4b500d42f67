#pragma once
// HttpServer: port 15014, HTTP/1.1 for probes, scrapers and operators. GET, HEAD and POST (of
// which only what the path and query say is looked at), one request a connection. One thread, which
// waits by poll(2): unlike the proxies, control also runs where io_uring is refused.
//
// Limits: 64 connections (a further one ends the oldest), 8 KiB of request, 10 s for a
// request and 10 s without progress for its answer.

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "mesh/admin/http_request.h"
#include "mesh/base/result.h"
#include "mesh/net/address.h"

namespace mesh::control {

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
};

class HttpServer {
 public:
  // Runs on the server's thread.
  using Handler = std::function<HttpResponse(const admin::Request&)>;

  // Errors: of socket, bind, listen.
  static Result<std::unique_ptr<HttpServer>> start(const net::SocketAddress& address,
                                                   Handler handler);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  std::uint16_t port() const { return port_; }

 private:
  HttpServer(int listener, int wake, std::uint16_t port, Handler handler);
  void run();

  int listener_;
  int wake_;
  std::uint16_t port_;
  Handler handler_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace mesh::control
