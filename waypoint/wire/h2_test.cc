#include <string>

#include "mesh/io/timer.h"
#include "waypoint/wire/test_world.h"

namespace mesh::waypoint::wire::test {
namespace {

using namespace std::chrono_literals;

io::Task<void> run_session(Http2Session& session) { (void)co_await session.run(); }

// A client's session around `story`.
io::Task<void> as_client(World& world, io::Task<void> (*story)(World&, Http2Session&)) {
  SocketWire wire(co_await world.connect());
  Http2Session session(*world.ring, wire, nullptr, {.h2 = Http2Options::for_client()});
  io::TaskScope scope;
  scope.spawn(run_session(session));
  co_await story(world, session);
  session.retire();
  co_await scope.join();
}

void run(World& world, io::Task<void> (*story)(World&, Http2Session&)) {
  world.version = Version::kHttp2;
  world.run(as_client(world, story));
}

Request request(std::string method, h2::Headers headers = {}) {
  return {
      .method = std::move(method), .authority = "x", .path = "/a", .headers = std::move(headers)};
}

io::Task<void> exchange(World&, Http2Session& session) {
  auto stream = session.open(nullptr).value();
  auto done = co_await stream->send(request("POST", {{"cookie", "a=1"}, {"cookie", "b=2"}}), false);
  REQUIRE(done.has_value());
  const std::string large(300'000, 'x');
  done = co_await stream->write(bytes(large));
  CHECK(done.has_value());
  done =
      co_await stream->finish({{"x-sum", "1"}, {"authorization", "b"}, {"x_forwarded_for", "c"}});
  const auto head = co_await stream->read_head();
  REQUIRE(head.has_value());
  CHECK(head->status == 200);
  CHECK(h2::find_header(head->headers, "x-asked") == "POST /a");
  const std::string body = co_await read_all(*stream);
  CHECK(body == large);
  CHECK(stream->take_trailers() == h2::Headers{{"x-sum", "1"}});
}

TEST_CASE("a request, its body and trailers, over HTTP/2") {
  World world;
  world.handler.serve = echo;
  run(world, exchange);
  CHECK(world.handler.served == 1);
}

io::Task<void> wait_forever(ServerStream& stream) {
  (void)stream.take_request();
  const std::string all = co_await read_all(stream);
  CHECK(all.starts_with("!"));
}

io::Task<void> give_up(World& world, Http2Session& session) {
  auto stream = session.open(nullptr).value();
  const auto done = co_await stream->send(request("POST"), false);
  REQUIRE(done.has_value());
  while (world.handler.running == 0) co_await io::yield(*world.ring);
  stream.reset();
  while (world.handler.running > 0) co_await io::yield(*world.ring);
}

TEST_CASE("a client that gives up cancels its handler") {
  World world;
  world.handler.serve = wait_forever;
  run(world, give_up);
}

io::Task<void> lie_about_length(World&, Http2Session& session) {
  for (const std::string body : {"ab", "abcd"}) {
    auto stream = session.open(nullptr).value();
    auto done = co_await stream->send(request("POST", {{"content-length", "3"}}), false);
    REQUIRE(done.has_value());
    done = co_await stream->write(bytes(body));
    if (done) done = co_await stream->finish({});
    const auto head = co_await stream->read_head();
    CHECK_FALSE(head.has_value());
  }
}

TEST_CASE("a body that is not as long as it says resets the stream") {
  World world;
  world.handler.serve = echo;
  run(world, lie_about_length);
}

io::Task<void> ask_badly(World& world, Http2Session& session) {
  const auto status = [](Result<Response> head) { return head ? head->status : 0; };
  const Request requests[] = {
      {.method = "GET", .authority = "x", .path = "/a#b", .headers = {}},
      {.method = "GET", .authority = "u@x", .path = "/", .headers = {}},
      {.method = "GET", .authority = "x", .path = "/", .headers = {{"host", "y"}}},
      {.method = "GET", .scheme = "ftp", .authority = "x", .path = "/", .headers = {}},
      {.method = "GET", .authority = "x", .path = "*", .headers = {}},
      {.method = "delete", .authority = "x", .path = "/", .headers = {}},
      {.method = "GET", .authority = "x", .path = "/", .headers = {{"content_length", "5"}}},
  };
  for (const Request& bad : requests) {
    auto stream = session.open(nullptr).value();
    const auto done = co_await stream->send(bad, true);
    if (!done) continue;  // our own rules refuse to send it
    auto head = co_await stream->read_head();
    CHECK(status(std::move(head)) == 400);
  }
  CHECK(world.handler.served == 0);
}

TEST_CASE("requests that two readers could take two ways are a 400") {
  World world;
  world.handler.serve = echo;
  run(world, ask_badly);
  CHECK(world.handler.bad.size() >= 4);
}

io::Task<void> upgrade(ServerStream& stream) {
  const Request request = stream.take_request();
  REQUIRE(request.protocol == "websocket");
  (void)co_await stream.respond({.status = 101, .headers = {{"upgrade", "websocket"}}}, false);
  const std::string raw = co_await read_all(stream);
  (void)co_await stream.write(bytes("<" + raw + ">"));
  (void)co_await stream.finish({});
}

io::Task<void> connect_extended(World& world, Http2Session& session) {
  auto first = session.open(nullptr).value();
  auto done = co_await first->send(request("GET"), true);
  auto head = co_await first->read_head();  // the server's SETTINGS have come
  REQUIRE(head.has_value());
  world.handler.serve = upgrade;
  auto stream = session.open(nullptr).value();
  Request chat = request("GET");
  chat.protocol = "websocket";
  done = co_await stream->send(chat, false);
  REQUIRE(done.has_value());
  head = co_await stream->read_head();
  REQUIRE(head.has_value());
  CHECK(head->status == 101);
  done = co_await stream->write(bytes("hi"));
  done = co_await stream->finish({});
  const std::string raw = co_await read_all(*stream);
  CHECK(raw == "<hi>");
}

TEST_CASE("extended CONNECT is an upgrade") {
  World world;
  world.handler.serve = echo;
  run(world, connect_extended);
}

io::Task<void> reset_rapidly(World& world, Http2Session& session) {
  std::size_t most = 0;
  for (int i = 0; i < 20'000 && session.accepts_requests(); ++i) {
    auto stream = session.open(nullptr);
    if (!stream) break;
    const auto sent = co_await (*stream)->send(request("POST"), false);
    if (!sent) break;
    co_await io::yield(*world.ring);
    (*stream)->reset(h2::ErrorCode::kCancel);
    most = std::max(most, world.handler.running);
  }
  CHECK(most <= 200);
  while (world.ended.empty()) co_await io::yield(*world.ring);
}

TEST_CASE("rapid reset ends the connection, and handlers stay few") {
  World world;
  world.handler.serve = wait_forever;
  run(world, reset_rapidly);
  REQUIRE(world.ended.size() == 1);
  REQUIRE(!world.ended[0].has_value());
  CHECK(world.ended[0].error().reason == Reason::kFlood);
  CHECK(world.handler.running == 0);
}

io::Task<void> drain(World& world, Http2Session& session) {
  auto stream = session.open(nullptr).value();
  auto done = co_await stream->send(request("POST"), false);
  REQUIRE(done.has_value());
  while (world.handler.running == 0) co_await io::yield(*world.ring);
  world.h2->drain();
  while (session.accepts_requests()) co_await io::yield(*world.ring);
  done = co_await stream->finish({});
  const auto head = co_await stream->read_head();
  CHECK(head.has_value());
  const std::string rest = co_await read_all(*stream);
  CHECK(rest.empty());
}

TEST_CASE("a drain takes no new request and ends what runs") {
  World world;
  world.handler.serve = echo;
  run(world, drain);
  REQUIRE(world.ended.size() == 1);
  CHECK(world.ended[0].has_value());
}

}  // namespace
}  // namespace mesh::waypoint::wire::test
