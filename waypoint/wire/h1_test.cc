#include <string>

#include "mesh/io/timer.h"
#include "waypoint/wire/test_world.h"

namespace mesh::waypoint::wire::test {
namespace {

using namespace std::chrono_literals;

io::Task<void> talk_into(World& world, std::string request, std::string& answer) {
  answer = co_await world.talk(std::move(request));
}

std::string answer_to(World& world, std::string request) {
  std::string answer;
  world.run(talk_into(world, std::move(request), answer));
  return answer;
}
std::string answer_to(std::string request) {
  World world;
  world.handler.serve = echo;
  return answer_to(world, std::move(request));
}

TEST_CASE("a request, a body, a response in chunks") {
  CHECK(answer_to("POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi") ==
        "HTTP/1.1 200 OK\r\nx-asked: POST /a\r\ntransfer-encoding: chunked\r\n\r\n"
        "2\r\nhi\r\n0\r\n\r\n");
}

TEST_CASE("requests in one piece are answered in order, and trailers pass") {
  const std::string answer = answer_to(
      "PUT /1 HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-t: "
      "1\r\n\r\n"
      "GET /2 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
  CHECK(answer ==
        "HTTP/1.1 200 OK\r\nx-asked: PUT /1\r\ntransfer-encoding: chunked\r\n\r\n"
        "1\r\na\r\n0\r\nx-t: 1\r\n\r\n"
        "HTTP/1.1 200 OK\r\nx-asked: GET /2\r\ntransfer-encoding: chunked\r\nconnection: close"
        "\r\n\r\n0\r\n\r\n");
}

TEST_CASE("a bad request is a 400 and the end of the connection") {
  World world;
  world.handler.serve = echo;
  const std::string answer = answer_to(
      world,
      "GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n"
      "GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n");
  CHECK(answer == "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
  CHECK(world.handler.served == 0);
  REQUIRE(world.handler.bad.size() == 1);
  CHECK(world.handler.bad[0].fault == h1::Fault::kFraming);
}

TEST_CASE("HTTP/1.0 is told to upgrade") {
  CHECK(answer_to("GET / HTTP/1.0\r\nhost: x\r\n\r\n").starts_with("HTTP/1.1 426 "));
}

io::Task<void> answer_early(ServerStream& stream) {
  (void)stream.take_request();
  (void)co_await stream.respond({.status = 403, .headers = {}}, true);
}

TEST_CASE("an answer before the end of the body ends the connection, and is read") {
  World world;
  world.handler.serve = answer_early;
  CHECK(answer_to(world, "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nab") ==
        "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
}

io::Task<void> lie(ServerStream& stream) {
  (void)stream.take_request();
  (void)co_await stream.respond({.status = 200, .headers = {{"content-length", "5"}}}, false);
  (void)co_await stream.write(bytes("abc"));
  (void)co_await stream.finish({});
}

TEST_CASE("a response that is shorter than it says is never made whole") {
  World world;
  world.handler.serve = lie;
  const std::string answer = answer_to(world, "GET / HTTP/1.1\r\nhost: x\r\n\r\n");
  CHECK(answer.contains("!peer_reset"));
}

io::Task<void> upgrade(ServerStream& stream) {
  const Request request = stream.take_request();
  REQUIRE(request.protocol == "websocket");
  (void)co_await stream.respond({.status = 101, .headers = {{"upgrade", "websocket"}}}, false);
  const std::string raw = co_await read_all(stream);
  (void)co_await stream.write(bytes("<" + raw + ">"));
  (void)co_await stream.finish({});
}

TEST_CASE("after an upgrade bytes are bytes") {
  World world;
  world.handler.serve = upgrade;
  CHECK(answer_to(world,
                  "GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
                  "\x81\x05 raw") ==
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
        "<\x81\x05 raw>");
}

io::Task<void> say_nothing(World& world) {
  io::Socket socket = co_await world.connect();
  const auto sent = co_await socket.send_all(bytes("GET / HT"));
  CHECK(sent.has_value());
  std::string all;
  for (;;) {
    auto got = co_await socket.recv_buffer();
    if (!got || got->empty()) break;
    all += text(got->bytes());
  }
  CHECK(all.starts_with("HTTP/1.1 408 "));
}

TEST_CASE("a head that does not end is a 408", "[time]") {
  World world;
  world.handler.serve = echo;
  world.http1.headers_deadline = 100ms;
  world.run(say_nothing(world));
}

io::Task<void> ask_twice(World& world) {
  Http1Client client(std::make_unique<SocketWire>(co_await world.connect()), {});
  for (int i = 0; i < 2; ++i) {
    auto stream = client.begin();
    const Request request{.method = "POST", .authority = "x", .path = "/", .headers = {}};
    auto done = co_await stream->send(request, false);
    CHECK(done.has_value());
    done = co_await stream->write(bytes("hello"));
    CHECK(done.has_value());
    done = co_await stream->finish({{"x-sum", "1"}});
    CHECK(done.has_value());
    const auto head = co_await stream->read_head();
    REQUIRE(head.has_value());
    CHECK(head->status == 200);
    const std::string body = co_await read_all(*stream);
    CHECK(body == "hello");
    CHECK(stream->take_trailers() == h2::Headers{{"x-sum", "1"}});
    stream.reset();
    CHECK(client.reusable());
  }
  CHECK(world.handler.served == 2);
}

TEST_CASE("a connection is used again") {
  World world;
  world.handler.serve = echo;
  world.run(ask_twice(world));
}

io::Task<void> interim(ServerStream& stream) {
  (void)stream.take_request();
  (void)co_await stream.respond_interim({.status = 100, .headers = {}});
  const std::string body = co_await read_all(stream);
  (void)co_await stream.respond({.status = 200, .headers = {{"x-body", body}}}, true);
}

io::Task<void> ask_expecting(World& world) {
  Http1Client client(std::make_unique<SocketWire>(co_await world.connect()), {});
  auto stream = client.begin();
  auto done =
      co_await stream->send({.method = "PUT",
                             .authority = "x",
                             .path = "/",
                             .headers = {{"expect", "100-continue"}, {"content-length", "3"}}},
                            false);
  CHECK(done.has_value());
  auto head = co_await stream->read_head();
  REQUIRE(head.has_value());
  CHECK(head->status == 100);
  done = co_await stream->write(bytes("abc"));
  CHECK(done.has_value());
  done = co_await stream->finish({});
  head = co_await stream->read_head();
  REQUIRE(head.has_value());
  CHECK(head->status == 200);
  CHECK(h2::find_header(head->headers, "x-body") == "abc");
  CHECK(stream->ended());
}

TEST_CASE("100-continue passes before the body") {
  World world;
  world.handler.serve = interim;
  world.run(ask_expecting(world));
}

io::Task<void> drain_idle(World& world) {
  io::Socket socket = co_await world.connect();
  (void)co_await socket.send_all(bytes("GET / HTTP/1.1\r\nhost: x\r\n\r\n"));
  while (world.handler.served == 0) co_await io::yield(*world.ring);
  world.h1->drain();
  const std::string all = co_await io::test::read_to_end(socket);
  CHECK(all.ends_with("0\r\n\r\n"));
}

TEST_CASE("a drain ends an idle connection") {
  World world;
  world.handler.serve = echo;
  world.run(drain_idle(world));
}

}  // namespace
}  // namespace mesh::waypoint::wire::test
