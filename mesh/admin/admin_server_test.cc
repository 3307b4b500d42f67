#include "mesh/admin/admin_server.h"

#include <memory>
#include <string>

#include <catch2/catch_test_macros.hpp>

namespace mesh::admin {
namespace {

Request request(std::string method, std::string path) {
  Request made;
  made.method = std::move(method);
  made.path = std::move(path);
  return made;
}

Routes test_routes() {
  Routes routes;
  routes.get("/", [](const Request&) { return Response{.body = "hello\n"}; });
  routes.get("/ready", [](const Request&) { return Response{.body = "ready\n"}; }, false);
  routes.post("/quit", [](const Request&) { return Response{.body = "bye\n"}; });
  routes.wrong_method_body("/quit", "use POST\n");
  return routes;
}

TEST_CASE("do better 12: a path answers its own methods and no other") {
  const Routes routes = test_routes();
  CHECK(routes.answer(request("GET", "/")).status == 200);
  CHECK(routes.answer(request("HEAD", "/")).status == 200);
  CHECK(routes.answer(request("HEAD", "/ready")).status == 405);
  for (const char* method : {"POST", "PUT", "OPTIONS", "DELETE", "get", "TRACE", "CONNECT"}) {
    CHECK(routes.answer(request(method, "/")).status == 405);
  }
  CHECK(routes.answer(request("POST", "/quit")).status == 200);
  CHECK(routes.answer(request("GET", "/quit")).status == 405);
  CHECK(routes.answer(request("GET", "/quit")).body == "use POST\n");
  CHECK(routes.answer(request("GET", "/ready/")).status == 404);
  CHECK(routes.answer(request("DELETE", "/nope")).status == 404);
}

TEST_CASE("a response has its length, and HEAD has no body") {
  const std::string date = http_date(1795250347);
  CHECK(date == "Sat, 21 Nov 2026 08:39:07 GMT");
  CHECK(format_response({.body = "ready\n"}, false, date) ==
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n"
        "content-length: 6\r\ndate: Sat, 21 Nov 2026 08:39:07 GMT\r\n\r\nready\n");
  CHECK(format_response({.body = "ready\n"}, true, date).ends_with("GMT\r\n\r\n"));
  CHECK(format_response({.status = 404}, false, date) ==
        "HTTP/1.1 404 Not Found\r\nconnection: close\r\n"
        "content-length: 0\r\ndate: Sat, 21 Nov 2026 08:39:07 GMT\r\n\r\n");
}

struct Bench {
  Bench() {
    auto made = io::Ring::create({});
    REQUIRE(made.has_value());
    ring = *std::move(made);
    auto listener = io::Listener::listen(*ring, {.at = *net::SocketAddress::parse("127.0.0.1:0")});
    REQUIRE(listener.has_value());
    server.emplace(*ring, *std::move(listener), test_routes());
  }
  std::unique_ptr<io::Ring> ring;
  std::optional<AdminServer> server;
  std::string answer;
};

io::Task<void> ask(Bench& bench, std::string text) {
  const io::ConnectOptions to{.to = bench.server->local_address(), .from = {}, .mark = {}};
  auto socket = co_await io::connect(*bench.ring, to);
  REQUIRE(socket.has_value());
  // In two pieces: a request need not arrive at once.
  const auto bytes = std::as_bytes(std::span(text));
  const auto first = co_await socket->send_all(bytes.first(bytes.size() / 2));
  CHECK(first.has_value());
  const auto second = co_await socket->send_all(bytes.subspan(bytes.size() / 2));
  CHECK(second.has_value());
  bench.answer.clear();
  for (;;) {
    const auto got = co_await socket->recv_buffer();
    if (!got || got->empty()) break;
    bench.answer.append(reinterpret_cast<const char*>(got->bytes().data()), got->size());
  }
}

io::Task<void> converse(Bench& bench) {
  io::TaskScope scope;
  scope.spawn(bench.server->run());
  co_await ask(bench, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(bench.answer.starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK(bench.answer.ends_with("\r\n\r\nhello\n"));
  co_await ask(bench, "POST /quit HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nnow!");
  CHECK(bench.answer.ends_with("bye\n"));
  co_await ask(bench, "OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(bench.answer.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"));
  co_await ask(bench, "\x16\x03\x01 garbage\r\n\r\n");
  CHECK(bench.answer.starts_with("HTTP/1.1 400 Bad Request\r\n"));
  co_await ask(bench, std::string(kHeadBytesMax + kBodyBytesMax + 100, 'a'));
  CHECK(bench.answer.starts_with("HTTP/1.1 431 "));
  scope.cancel();
  co_await scope.join();
}

TEST_CASE("requests over a socket are answered, good or bad, and the server ends when told") {
  Bench bench;
  bench.ring->run(converse(bench));
  CHECK(bench.ring->in_flight() == 0);
}

}  // namespace
}  // namespace mesh::admin
