#include "mesh/grpc/channel.h"

#include <catch2/catch_test_macros.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "mesh/io/both.h"
#include "mesh/io/ring.h"
#include "mesh/io/task_scope.h"
#include "mesh/io/timer.h"
#include "test/support/eventually.h"
#include "test/support/grpc_server.h"
#include "test/support/test_ca.h"

namespace mesh::grpc {
namespace {

using namespace std::chrono_literals;
using io::Task;
using test::eventually;
using test::ServerCall;

// Answers each message with itself; some texts make it misbehave.
class Echo final : public test::Service {
 public:
  void on_call(ServerCall& call) override { headers = call.headers(); }
  void on_message(ServerCall& call, std::string message) override {
    ++messages;
    if (message == "refuse") return call.finish({StatusCode::kPermissionDenied, "not%20you"});
    if (message == "reset") return call.reset(h2::ErrorCode::kRefusedStream);
    if (message == "silence") silent = true;
    if (silent || message == "nothing") return;
    if (message == "compressed") return call.send_raw(std::string("\1\0\0\0\1x", 6));
    if (message == "huge") return call.send_raw(std::string("\0\x7f\xff\xff\xff", 5));
    call.send(message);
    if (message == "twice") call.send(message);
  }
  void on_client_done(ServerCall& call) override {
    if (!std::exchange(silent, false)) call.finish({});
  }
  void on_gone(ServerCall&) override { ++gone; }

  h2::Headers headers;
  bool silent = false;
  int messages = 0;
  int gone = 0;
};

struct World {
  World() : ring(*io::Ring::create()) {
    const auto now = std::chrono::floor<std::chrono::seconds>(ring->wall_now());
    server = std::make_unique<test::GrpcServer>(
        *ring, test::control_context(ca, now),
        net::SocketAddress{.ip = net::IpAddress::v4({127, 0, 0, 1}), .port = 0},
        std::map<std::string, test::Service*>{{"/test.Echo/Say", &echo}});
  }

  ChannelOptions options() {
    ChannelOptions made;
    made.target = {.host = "127.0.0.1", .port = server->address().port};
    made.roots = [this] { return Result<std::string>(ca.bundle().to_pem()); };
    made.metadata = bearer_metadata("", {{"clusterid", "Kubernetes"}});
    return made;
  }

  // Runs `story` against a running server, then stops it.
  void run(Task<void> (*story)(World&)) { ring->run(with_server(story)); }
  Task<void> with_server(Task<void> (*story)(World&)) {
    io::TaskScope scope;
    scope.spawn(server->run());
    co_await story(*this);
    scope.cancel();
    co_await scope.join();
  }

  std::unique_ptr<io::Ring> ring;
  test::TestCa ca;
  Echo echo;
  std::unique_ptr<test::GrpcServer> server;
};

Task<void> unary_story(World& world) {
  Channel channel(*world.ring, world.options());
  const auto response = co_await channel.unary("/test.Echo/Say", "hello", 5s);
  CHECK(response.status.message.empty());
  CHECK(response.status.ok());
  CHECK(response.message == "hello");
  CHECK(h2::find_header(world.echo.headers, "clusterid") == "Kubernetes");
  CHECK(h2::find_header(world.echo.headers, "te") == "trailers");
  CHECK(h2::find_header(world.echo.headers, "content-type") == "application/grpc");
  CHECK(h2::find_header(world.echo.headers, "grpc-timeout") == "5000m");

  const auto again = co_await channel.unary("/test.Echo/Say", std::string(1'000'000, 'x'), 5s);
  CHECK(again.message.size() == 1'000'000);
  CHECK(channel.counters().connects == 1);
  co_await channel.close();
  CHECK(channel.counters().bytes_received > 1'000'000);
}

TEST_CASE("a unary call, twice over one connection", "[channel]") {
  World world;
  world.run(unary_story);
}

Task<void> refusal_story(World& world) {
  ChannelOptions options = world.options();
  options.message_max = 1000;
  Channel channel(*world.ring, std::move(options));
  struct Row {
    const char* path;
    const char* request;
    StatusCode code;
  };
  for (const Row& row : {Row{"/test.Echo/Say", "refuse", StatusCode::kPermissionDenied},
                         Row{"/test.Echo/Say", "reset", StatusCode::kUnavailable},
                         Row{"/test.Echo/Say", "compressed", StatusCode::kUnavailable},
                         Row{"/test.Echo/Say", "huge", StatusCode::kUnavailable},
                         Row{"/test.Echo/Say", "twice", StatusCode::kInternal},
                         Row{"/test.Echo/Say", "nothing", StatusCode::kInternal},
                         Row{"/no.Such/Method", "hello", StatusCode::kUnimplemented},
                         Row{"/test.Echo/Say", "silence", StatusCode::kDeadlineExceeded}}) {
    INFO(row.request);
    const io::Duration deadline = std::string_view(row.request) == "silence" ? 50ms : 5000ms;
    const auto response = co_await channel.unary(row.path, row.request, deadline);
    CHECK(status_code_name(response.status.code) == status_code_name(row.code));
    CHECK(response.message.empty());
  }
  // None of that cost the connection, and the server saw each call end.
  const auto fine = co_await channel.unary("/test.Echo/Say", "fine", 5s);
  CHECK(fine.message == "fine");
  CHECK(channel.counters().connects == 1);
  const auto is_all_gone = [&] { return world.echo.gone == 8; };
  const bool all_gone = co_await eventually(*world.ring, is_all_gone);
  CHECK(all_gone);
  co_await channel.close();
}

TEST_CASE("refusals, resets, nonsense and silence each end one call", "[channel]") {
  World world;
  world.run(refusal_story);
}

Task<void> stream_story(World& world) {
  Channel channel(*world.ring, world.options());
  {
    auto call = co_await channel.start("/test.Echo/Say");
    REQUIRE(call);
    for (const char* text : {"one", "two", ""}) {
      const auto sent = co_await call->send(text);
      CHECK(sent);
      const auto heard = co_await call->receive();
      REQUIRE(heard);
      REQUIRE(*heard);
      CHECK(**heard == text);
    }
    co_await call->finish_sending();
    const auto end = co_await call->receive();
    REQUIRE(end);
    CHECK(!*end);
    CHECK(call->status().ok());
  }
  co_await channel.close();
}

TEST_CASE("a stream in both directions, ended by the client", "[channel]") {
  World world;
  world.run(stream_story);
}

Task<void> lost_story(World& world) {
  Channel channel(*world.ring, world.options());
  {
    auto call = co_await channel.start("/test.Echo/Say");
    REQUIRE(call);
    co_await call->send("hello");
    const auto heard = co_await call->receive();
    REQUIRE(heard);
    world.server->cut_connections();
    const auto end = co_await call->receive();
    REQUIRE(end);
    CHECK(!*end);
    CHECK(call->status().code == StatusCode::kUnavailable);
    const auto sent = co_await call->send("anybody there?");
    CHECK(!sent);
  }
  CHECK(!channel.connected());
  const auto response = co_await channel.unary("/test.Echo/Say", "back", 5s);
  CHECK(response.message == "back");
  CHECK(channel.counters().connects == 2);
  co_await channel.close();
}

TEST_CASE("a lost connection ends its calls, and the next call makes another", "[channel]") {
  World world;
  world.run(lost_story);
}

Task<void> drain_story(World& world) {
  Channel channel(*world.ring, world.options());
  const auto first = co_await channel.unary("/test.Echo/Say", "first", 5s);
  CHECK(first.message == "first");
  world.server->drain_connections();
  const auto is_drained = [&] { return !channel.connected(); };
  const bool drained = co_await eventually(*world.ring, is_drained);
  CHECK(drained);
  const auto second = co_await channel.unary("/test.Echo/Say", "second", 5s);
  CHECK(second.message == "second");
  CHECK(channel.counters().connects == 2);
  co_await channel.close();
}

TEST_CASE("after GOAWAY the next call gets a connection of its own", "[channel]") {
  World world;
  world.run(drain_story);
}

Task<void> wrong_server_story(World& world) {
  struct Row {
    const char* what;
    std::function<void(ChannelOptions&)> change;
    StatusCode code;
  };
  const test::TestCa other("cluster.local");
  const std::vector<Row> rows = {
      {"its root is not ours",
       [&](ChannelOptions& o) {
         o.roots = [&] { return Result<std::string>(other.bundle().to_pem()); };
       },
       StatusCode::kUnavailable},
      {"it is somebody else", [](ChannelOptions& o) { o.server_name = "istiod.istio-system.svc"; },
       StatusCode::kUnavailable},
      {"no roots", [](ChannelOptions& o) { o.roots = roots_from_file("/nonexistent"); },
       StatusCode::kUnavailable},
      {"no token", [](ChannelOptions& o) { o.metadata = bearer_metadata("/nonexistent", {}); },
       StatusCode::kUnavailable},
      {"nobody listens", [](ChannelOptions& o) { o.target.port = 1; }, StatusCode::kUnavailable},
  };
  for (const Row& row : rows) {
    INFO(row.what);
    ChannelOptions options = world.options();
    row.change(options);
    Channel channel(*world.ring, std::move(options));
    const auto response = co_await channel.unary("/test.Echo/Say", "secret", 5s);
    CHECK(status_code_name(response.status.code) == status_code_name(row.code));
    CHECK(!response.status.message.empty());
    co_await channel.close();
  }
  CHECK(world.echo.messages == 0);
  ChannelOptions options = world.options();
  options.server_name = "control.test";
  Channel channel(*world.ring, std::move(options));
  const auto response = co_await channel.unary("/test.Echo/Say", "by name", 5s);
  CHECK(response.message == "by name");
  co_await channel.close();
}

TEST_CASE("nothing is said to a server that is not the one", "[channel]") {
  World world;
  world.run(wrong_server_story);
}

Task<Result<Done>> say(Channel& channel, int& answered) {
  const auto response = co_await channel.unary("/test.Echo/Say", "hello", 5s);
  if (response.message == "hello") ++answered;
  co_return Done{};
}
Task<void> say_alone(Channel& channel, int& answered) { co_await say(channel, answered); }

Task<void> burst_story(World& world) {
  Channel channel(*world.ring, world.options());
  int answered = 0;
  io::TaskScope scope;
  for (int i = 0; i < 20; ++i) scope.spawn(say_alone(channel, answered));
  co_await scope.join();
  CHECK(answered == 20);
  CHECK(channel.counters().connects == 1);
  CHECK(world.server->accepted() == 1);
  co_await channel.close();
}

TEST_CASE("a burst of calls shares one connection", "[channel]") {
  World world;
  world.run(burst_story);
}

Task<void> keepalive_story(World& world) {
  // A server that accepts and never says a word.
  io::ListenOptions listen;
  listen.at.ip = net::IpAddress::v4({127, 0, 0, 1});
  auto listener = io::Listener::listen(*world.ring, listen);
  REQUIRE(listener);
  ChannelOptions options = world.options();
  options.target.port = listener->local_address().port;
  options.connect_deadline = 100ms;
  Channel channel(*world.ring, std::move(options));
  const auto response = co_await channel.unary("/test.Echo/Say", "hello", 5s);
  CHECK(response.status.code == StatusCode::kDeadlineExceeded);
  CHECK(channel.counters().connect_failures == 1);
  co_await channel.close();
}

TEST_CASE("a server that accepts and says nothing costs the connect deadline", "[channel]") {
  World world;
  world.run(keepalive_story);
}

Task<void> calm_story(World& world) {
  Channel channel(*world.ring, world.options());
  const auto is_gone = [&] { return !channel.connected(); };
  struct Row {
    h2::ErrorCode code;
    io::Duration then;
  };
  for (const Row& row :
       {Row{h2::ErrorCode::kNoError, 10s}, Row{h2::ErrorCode::kEnhanceYourCalm, 20s},
        Row{h2::ErrorCode::kEnhanceYourCalm, 40s}, Row{h2::ErrorCode::kEnhanceYourCalm, 80s},
        Row{h2::ErrorCode::kEnhanceYourCalm, 160s}, Row{h2::ErrorCode::kEnhanceYourCalm, 5min},
        Row{h2::ErrorCode::kEnhanceYourCalm, 5min}, Row{h2::ErrorCode::kNoError, 5min}}) {
    const auto response = co_await channel.unary("/test.Echo/Say", "hello", 5s);
    CHECK(response.status.ok());
    world.server->send_goaway(row.code);
    const bool gone = co_await eventually(*world.ring, is_gone);
    CHECK(gone);
    CHECK(channel.keepalive_interval() == row.then);
  }
  co_await channel.close();
}

TEST_CASE("a server that is asked too often gets longer pauses", "[channel]") {
  World world;
  world.run(calm_story);
}

}  // namespace
}  // namespace mesh::grpc
