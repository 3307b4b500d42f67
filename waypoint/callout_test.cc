// Callouts to an endpoint in a tunnel: good answers, and every kind of bad one.

#include <catch2/catch_test_macros.hpp>

#include "mesh/grpc/framing.h"
#include "mesh/io/timer.h"
#include "waypoint/callout.h"
#include "waypoint/test_world.h"

namespace mesh::waypoint::test {
namespace {

using namespace std::chrono_literals;

HttpCall post(std::string body) {
  return {.cluster = "cart",
          .request = {.method = "POST", .path = "/check?a=1", .headers = {{"x-a", "1"}}},
          .body = std::move(body)};
}

io::Task<void> ask_http(World& world, HttpCall call, Result<HttpAnswer>& answer) {
  answer = co_await call_http(world.context, world.context.snapshot, std::move(call));
}
Result<HttpAnswer> answer_to(World& world, HttpCall call) {
  Result<HttpAnswer> answer = failed(Reason::kSystem, "test");
  world.run(ask_http(world, std::move(call), answer));
  CHECK(world.fleet.breaker(*world.context.snapshot, world.cluster, false)
            .now(balance::Breaker::What::kRequest) == 0);
  return answer;
}
Reason reason_of(World& world, HttpCall call) {
  const auto answer = answer_to(world, std::move(call));
  REQUIRE_FALSE(answer.has_value());
  return answer.error().reason;
}

TEST_CASE("a callout over HTTP sends all of a request and gives all of the answer") {
  for (const auto version : {wire::Version::kHttp1, wire::Version::kHttp2}) {
    for (const std::size_t size : {0u, 5u, 300'000u}) {
      World world;
      world.application.handler.serve = wire::test::echo;
      world.application.version = version;
      if (version == wire::Version::kHttp2) {
        world.cluster.http.version = config::Http::Version::kHttp2;
        world.use();
      }
      HttpCall call = post(std::string(size, 'x'));
      call.response_max = 300'000;
      const auto answer = answer_to(world, std::move(call));
      REQUIRE(answer.has_value());
      CHECK(answer->status == 200);
      CHECK(h2::find_header(answer->headers, "x-asked") == "POST /check?a=1");
      CHECK(answer->body == std::string(size, 'x'));
      CHECK(world.application.peers == std::vector<std::string>{kWaypoint});
    }
  }
}

TEST_CASE("an answer beyond its limit is none") {
  World world;
  world.application.handler.serve = wire::test::echo;
  HttpCall call = post("12345");
  call.response_max = 4;
  CHECK(reason_of(world, std::move(call)) == Reason::kTooLarge);
}

// Reads the request and says nothing until `release`.
io::Task<void> hold(wire::ServerStream& stream, io::Event& release) {
  (void)stream.take_request();
  (void)co_await release.wait();
}

io::Task<void> ask_and_release(World& world, HttpCall call, Result<HttpAnswer>& answer,
                               io::Event& release) {
  answer = co_await call_http(world.context, world.context.snapshot, std::move(call));
  release.set();
}

TEST_CASE("an answer that does not come is waited for no longer than was said") {
  World world;
  io::Event release(*world.ring);
  world.application.handler.serve = [&](wire::ServerStream& stream) {
    return hold(stream, release);
  };
  HttpCall call = post("hello");
  call.timeout = 30ms;
  Result<HttpAnswer> answer = failed(Reason::kSystem, "test");
  world.run(ask_and_release(world, std::move(call), answer, release));
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().reason == Reason::kTimedOut);
}

io::Task<void> cancel_when_asked(World& world, Result<HttpAnswer>& answer, io::Event& asked,
                                 io::Event& release) {
  io::TaskScope scope;
  scope.spawn(ask_http(world, post("hello"), answer));
  (void)co_await asked.wait();
  scope.cancel();
  co_await scope.join();
  release.set();
}

TEST_CASE("a callout ends when its request does") {
  World world;
  io::Event asked(*world.ring), release(*world.ring);
  world.application.handler.serve = [&](wire::ServerStream& stream) {
    asked.set();
    return hold(stream, release);
  };
  Result<HttpAnswer> answer = failed(Reason::kSystem, "test");
  world.run(cancel_when_asked(world, answer, asked, release));
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().reason == Reason::kCancelled);
}

TEST_CASE("a callout to nobody fails at once and by name") {
  World world;
  HttpCall call = post({});
  call.cluster = "gone";
  CHECK(reason_of(world, std::move(call)) == Reason::kNoEndpoint);
  call = post({});
  call.cluster.clear();
  CHECK(reason_of(world, std::move(call)) == Reason::kNoEndpoint);
  world.cluster.normal.max_requests = 0;
  world.use();
  CHECK(reason_of(world, post({})) == Reason::kExhausted);
  world.cluster.normal.max_requests = 1;
  world.cluster.inline_endpoints = std::make_shared<config::Endpoints>();
  world.use();
  CHECK(reason_of(world, post({})) == Reason::kNoEndpoint);
}

// Answers whatever was asked with these bytes, and ends.
io::Task<void> say(wire::Wire& wire, std::string said) {
  (void)co_await wire.recv();
  const auto sent = co_await wire.send_all(bytes(said));
  if (sent) (void)wire.finish_sending();
  (void)co_await wire::linger(wire, 1024);
}

TEST_CASE("garbage for an answer is a failure with a name") {
  const std::pair<const char*, Reason> kCases[] = {
      {"nonsense\r\n\r\n", Reason::kMalformed},
      {"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc", Reason::kMalformed},
      {"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", Reason::kPeerClosed},
      {"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", Reason::kMalformed},
      {"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n", Reason::kMalformed},
      {"", Reason::kPeerClosed},
  };
  for (const auto& [said, reason] : kCases) {
    World world;
    const std::string text = said;
    world.application.raw = [&](wire::Wire& wire) { return say(wire, text); };
    INFO(said);
    CHECK(reason_of(world, post("hello")) == reason);
  }
  std::string interims;
  for (int i = 0; i < 40; ++i) interims += "HTTP/1.1 103 Early Hints\r\n\r\n";
  World world;
  world.application.raw = [&](wire::Wire& wire) { return say(wire, interims); };
  CHECK(reason_of(world, post("hello")) == Reason::kProtocol);
}

// Answers before it has read anything of the body.
io::Task<void> refuse_early(wire::ServerStream& stream) {
  (void)stream.take_request();
  (void)co_await stream.respond({.status = 403, .headers = {}}, true);
}

TEST_CASE("an answer that comes before the body was taken counts") {
  for (const auto version : {wire::Version::kHttp1, wire::Version::kHttp2}) {
    World world;
    world.application.version = version;
    world.application.handler.serve = refuse_early;
    if (version == wire::Version::kHttp2) {
      world.cluster.http.version = config::Http::Version::kHttp2;
      world.use();
    }
    const auto answer = answer_to(world, post(std::string(900'000, 'x')));
    REQUIRE(answer.has_value());
    CHECK(answer->status == 403);
  }
}

// One answer per connection, though it promises more; what is asked then is heard no more.
io::Task<void> answer_once(wire::Wire& wire) {
  std::string asked;
  while (!asked.ends_with("\r\n\r\nx")) {
    const auto part = co_await wire.recv();
    if (!part || part->empty()) co_return;
    asked += text(part->bytes());
  }
  (void)co_await wire.send_all(bytes("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"));
  (void)co_await wire.recv();
}
io::Task<void> several(World& world, std::vector<bool>& good) {
  for (int i = 0; i < 4; ++i) {
    const auto answer = co_await call_http(world.context, world.context.snapshot, post("x"));
    good.push_back(answer.has_value());
  }
}

TEST_CASE("a kept connection that died is replaced by a new one") {
  World world;
  world.application.raw = answer_once;
  std::vector<bool> good;
  world.run(several(world, good));
  CHECK(good == std::vector<bool>(4, true));
  CHECK(world.upstreams.counts().reused == 3);
  CHECK(world.application.asked.size() == 4);
}

// ---- gRPC ----

GrpcCall check() { return {.cluster = "cart", .path = "/test.Service/Check"}; }

struct GrpcWorld : World {
  GrpcWorld() {
    application.version = wire::Version::kHttp2;
    // Callouts of gRPC are HTTP/2 whatever the cluster says.
  }
};

io::Task<void> ask_grpc(World& world, GrpcCall call, std::string message,
                        Result<GrpcAnswer>& answer) {
  answer = co_await call_grpc(world.context, world.context.snapshot, std::move(call), message);
}
Result<GrpcAnswer> grpc_answer(World& world, GrpcCall call = check(), std::string message = "hi") {
  Result<GrpcAnswer> answer = failed(Reason::kSystem, "test");
  world.run(ask_grpc(world, std::move(call), std::move(message), answer));
  return answer;
}

// What a server of one call does: its messages, its trailers, its head.
struct Served {
  int status = 200;
  std::string type = "application/grpc";
  std::vector<std::string> messages = {};
  h2::Headers trailers = {{"grpc-status", "0"}};
  std::string raw = {};
  bool parted = false;  // head and trailers, with nothing between
  http::Request* seen = nullptr;
};
io::Task<void> serve_grpc(wire::ServerStream& stream, const Served& served) {
  const http::Request request = stream.take_request();
  if (served.seen != nullptr) *served.seen = request;
  (void)co_await wire::test::read_all(stream);
  wire::Response head{.status = served.status, .headers = {{"content-type", served.type}}};
  if (served.messages.empty() && served.raw.empty() && !served.parted) {  // trailers only
    for (const h2::Header& header : served.trailers) head.headers.push_back(header);
    (void)co_await stream.respond(std::move(head), true);
    co_return;
  }
  (void)co_await stream.respond(std::move(head), false);
  std::string all = served.raw;
  for (const std::string& message : served.messages) all += grpc::frame_message(message);
  if (!all.empty()) (void)co_await stream.write(bytes(all));
  (void)co_await stream.finish(served.trailers);
}

Result<GrpcAnswer> grpc_served(const Served& served, GrpcCall call = check()) {
  GrpcWorld world;
  world.application.handler.serve = [&](wire::ServerStream& stream) {
    return serve_grpc(stream, served);
  };
  return grpc_answer(world, std::move(call));
}

TEST_CASE("a gRPC callout sends one message and gives the one that comes back") {
  http::Request seen;
  GrpcCall call = check();
  call.authority = "authz.example";
  call.metadata = {{"x-token", "t"}};
  const auto answer = grpc_served({.messages = {"fine"}, .seen = &seen}, call);
  REQUIRE(answer.has_value());
  CHECK(answer->status.ok());
  CHECK(answer->message == "fine");
  CHECK(seen.method == "POST");
  CHECK(seen.path == "/test.Service/Check");
  CHECK(seen.authority == "authz.example");
  CHECK(h2::find_header(seen.headers, "te") == "trailers");
  CHECK(h2::find_header(seen.headers, "content-type") == "application/grpc");
  CHECK(h2::find_header(seen.headers, "grpc-timeout") == "5000m");
  CHECK(h2::find_header(seen.headers, "x-token") == "t");
}

TEST_CASE("a gRPC callout that ends with a status says which") {
  const auto answer = grpc_served({.trailers = {{"grpc-status", "14"}, {"grpc-message", "gone"}}});
  REQUIRE(answer.has_value());
  CHECK(answer->status == grpc::Status{grpc::StatusCode::kUnavailable, "gone"});
  const auto parted = grpc_served({.trailers = {{"grpc-status", "5"}}, .parted = true});
  REQUIRE(parted.has_value());
  CHECK(parted->status.code == grpc::StatusCode::kNotFound);
  const auto web = grpc_served({.status = 503, .type = "text/plain", .raw = "sorry"});
  REQUIRE(web.has_value());
  CHECK(web->status.code == grpc::StatusCode::kUnavailable);
  const auto plain = grpc_served({.type = "text/plain", .raw = "hello"});
  REQUIRE(plain.has_value());
  CHECK(plain->status.code == grpc::StatusCode::kUnknown);
  const auto cut = grpc_served({.messages = {"a"}, .trailers = {}});
  REQUIRE(cut.has_value());
  CHECK(cut->status.code == grpc::StatusCode::kInternal);
}

TEST_CASE("answers of gRPC that cannot be are failures") {
  const auto reason = [](const Served& served) {
    const auto answer = grpc_served(served);
    REQUIRE_FALSE(answer.has_value());
    return answer.error().reason;
  };
  CHECK(reason({.messages = {std::string(65 * 1024, 'x')}}) == Reason::kTooLarge);
  CHECK(reason({.messages = {"a", "b"}}) == Reason::kProtocol);
  CHECK(reason({}) == Reason::kProtocol);  // a good status, and nothing said
  CHECK(reason({.raw = std::string("\1\0\0\0\1x", 6)}) == Reason::kMalformed);
}

io::Task<void> ask_grpc_and_release(World& world, GrpcCall call, Result<GrpcAnswer>& answer,
                                    io::Event& release) {
  answer = co_await call_grpc(world.context, world.context.snapshot, std::move(call), "hi");
  release.set();
}

TEST_CASE("a gRPC server that never answers is given up") {
  GrpcWorld world;
  io::Event release(*world.ring);
  world.application.handler.serve = [&](wire::ServerStream& stream) {
    return hold(stream, release);
  };
  GrpcCall call = check();
  call.timeout = 30ms;
  Result<GrpcAnswer> answer = failed(Reason::kSystem, "test");
  world.run(ask_grpc_and_release(world, std::move(call), answer, release));
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().reason == Reason::kTimedOut);
}

// Sends every byte back as it comes, which frames keep.
io::Task<void> echo_stream(wire::ServerStream& stream) {
  (void)stream.take_request();
  wire::Response head{.status = 200, .headers = {{"content-type", "application/grpc"}}};
  auto done = co_await stream.respond(std::move(head), false);
  while (done) {
    auto part = co_await stream.read();
    if (!part || part->empty()) break;
    done = co_await stream.write(part->bytes());
  }
  if (done) (void)co_await stream.finish({{"grpc-status", "0"}});
}

io::Task<void> converse(World& world, std::vector<std::string>& heard, bool& ended) {
  auto stream = co_await GrpcStream::open(world.context, world.context.snapshot, check());
  REQUIRE(stream.has_value());
  const std::vector<std::string> kSaid = {"a", "", std::string(50'000, 'c')};
  for (const std::string& said : kSaid) {
    const auto sent = co_await (*stream)->send(said);
    REQUIRE(sent.has_value());
    auto got = co_await (*stream)->receive();
    REQUIRE(got.has_value());
    REQUIRE(got->has_value());
    heard.push_back(**got);
  }
  (void)co_await (*stream)->finish_sending();
  const auto last = co_await (*stream)->receive();
  ended = last.has_value() && !last->has_value() && (*stream)->status().ok();
}

TEST_CASE("a gRPC stream carries messages both ways until both have ended") {
  GrpcWorld world;
  world.application.handler.serve = echo_stream;
  std::vector<std::string> heard;
  bool ended = false;
  world.run(converse(world, heard, ended));
  CHECK(heard == std::vector<std::string>{"a", "", std::string(50'000, 'c')});
  CHECK(ended);
}

io::Task<void> leave(World& world) {
  auto stream = co_await GrpcStream::open(world.context, world.context.snapshot, check());
  REQUIRE(stream.has_value());
  (void)co_await (*stream)->send("x");
  (void)co_await (*stream)->receive();
}

TEST_CASE("a gRPC stream that is dropped is reset, and its place given back") {
  GrpcWorld world;
  world.application.handler.serve = echo_stream;
  world.run(leave(world));
  CHECK(world.application.handler.served == 1);
  CHECK(world.fleet.breaker(*world.context.snapshot, world.cluster, false)
            .now(balance::Breaker::What::kRequest) == 0);
}

}  // namespace
}  // namespace mesh::waypoint::test
