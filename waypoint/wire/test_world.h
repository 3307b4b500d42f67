#pragma once
// What the tests of waypoint/http share: a server on the loopback whose handler a test gives, and
// clients of both versions.

#include <catch2/catch_test_macros.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "mesh/io/task_scope.h"
#include "mesh/io/test_bench.h"
#include "waypoint/wire/h1_client.h"
#include "waypoint/wire/h1_server.h"
#include "waypoint/wire/h2_session.h"

namespace mesh::waypoint::wire::test {

using io::test::bytes;
using io::test::text;

struct Handler final : ServerHandler {
  std::function<io::Task<void>(ServerStream&)> serve;
  std::vector<BadRequest> bad;
  std::size_t running = 0, served = 0;

  io::Task<void> on_request(ServerStream& stream) override {
    ++running;
    co_await serve(stream);
    --running;
    ++served;
  }
  Response on_bad_request(const BadRequest& request) override {
    bad.push_back({.status = request.status, .fault = request.fault});
    return {.status = request.status};
  }
};

struct World {
  std::unique_ptr<io::Ring> ring = io::test::make_ring();
  std::optional<io::Listener> listener{io::test::make_listener(*ring)};
  Handler handler;
  Version version = Version::kHttp1;
  Http1ServerOptions http1;
  Http2Options http2;
  std::vector<Result<Done>> ended;
  Http1Server* h1 = nullptr;
  Http2Session* h2 = nullptr;

  io::Task<void> serve(io::Socket socket) {
    SocketWire wire(std::move(socket));
    if (version == Version::kHttp1) {
      Http1Server server(*ring, wire, handler, http1);
      h1 = &server;
      ended.push_back(co_await server.run());
      h1 = nullptr;
    } else {
      Http2Session session(*ring, wire, &handler, http2);
      h2 = &session;
      ended.push_back(co_await session.run());
      h2 = nullptr;
    }
  }
  io::Task<void> accept(io::TaskScope& serving) {
    for (;;) {
      auto socket = co_await listener->accept();
      if (!socket) co_return;
      serving.spawn(serve(*std::move(socket)));
    }
  }
  io::Task<void> tell(io::Task<void> story) {
    io::TaskScope serving, accepting;
    accepting.spawn(accept(serving));
    co_await std::move(story);
    listener->close();
    co_await accepting.join();
    co_await serving.join();
  }
  void run(io::Task<void> story) { ring->run(tell(std::move(story))); }

  io::Task<io::Socket> connect() {
    io::ConnectOptions options;
    options.to = listener->local_address();
    auto socket = co_await io::connect(*ring, options);
    REQUIRE(socket.has_value());
    co_return *std::move(socket);
  }
  // Sends `request`, ends, and gives everything that comes back.
  io::Task<std::string> talk(std::string request) {
    io::Socket socket = co_await connect();
    const auto sent = co_await socket.send_all(bytes(request));
    REQUIRE(sent.has_value());
    (void)socket.finish_sending();
    std::string all;
    for (;;) {
      auto got = co_await socket.recv_buffer();
      if (!got) co_return all + "!" + std::string(reason_name(got.error().reason));
      if (got->empty()) co_return all;
      all += text(got->bytes());
    }
  }
};

inline io::Task<std::string> read_all(ServerStream& stream) {
  std::string all;
  for (;;) {
    auto part = co_await stream.read();
    if (!part) co_return all + "!" + std::string(reason_name(part.error().reason));
    if (part->empty()) co_return all;
    all += text(part->bytes());
  }
}

inline io::Task<std::string> read_all(ClientStream& stream) {
  std::string all;
  for (;;) {
    auto part = co_await stream.read();
    if (!part) co_return all + "!" + std::string(reason_name(part.error().reason));
    if (part->empty()) co_return all;
    all += text(part->bytes());
  }
}

// Says what it was asked, and the body back.
inline io::Task<void> echo(ServerStream& stream) {
  const Request request = stream.take_request();
  const std::string body = co_await read_all(stream);
  h2::Headers trailers = stream.take_trailers();
  Response response{.status = 200, .headers = {{"x-asked", request.method + " " + request.path}}};
  const auto answered = co_await stream.respond(std::move(response), false);
  if (!answered) co_return;
  const auto wrote = co_await stream.write(bytes(body));
  if (wrote) (void)co_await stream.finish(trailers);
}

}  // namespace mesh::waypoint::wire::test
