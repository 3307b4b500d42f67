// How long things may take: requests, tries, silences, connections.

#include <catch2/catch_test_macros.hpp>

#include "waypoint/test_world.h"

namespace mesh::waypoint::test {
namespace {

using namespace std::chrono_literals;

// What an application does: `before` its head, then `parts` of "x", each after `between`.
struct Manner {
  io::Duration before{};
  int parts = 0;
  io::Duration between{};
};

void behave(World& world, Manner manner) {
  world.application.handler.serve = [&world, manner](wire::ServerStream& stream) -> io::Task<void> {
    (void)stream.take_request();
    (void)co_await wire::test::read_all(stream);
    co_await lapse(*world.ring, manner.before);
    auto done = co_await stream.respond({.status = 200, .headers = {}}, false);
    for (int i = 0; done && i < manner.parts; ++i) {
      co_await lapse(*world.ring, manner.between);
      done = co_await stream.write(bytes("x"));
    }
    if (done) (void)co_await stream.finish({});
  };
}

io::Task<void> get_into(World& world, Answer& answer) { answer = co_await ask(world, {}); }

struct Row {
  const char* what;
  void (*change)(World&);
  Manner manner;
  int status;
  const char* body;
  const char* flags;
  const char* details;
};

void check(const Row& row) {
  INFO(row.what);
  World world;
  behave(world, row.manner);
  row.change(world);
  world.use();
  Answer answer;
  world.run(get_into(world, answer));
  CHECK(answer.status == row.status);
  CHECK(answer.body == row.body);
  REQUIRE(world.kept.records.size() == 1);
  CHECK(world.kept.last().flags.to_string() == row.flags);
  CHECK(world.kept.last().details == row.details);
  CHECK(world.upstreams.counts().connections == 0);
}

TEST_CASE("a silence that is too long ends a request; movement keeps it", "[time]") {
  const auto idle = [](World& w) { w.chain.stream_idle_timeout = 300ms; };
  const Row rows[] = {
      {"an endpoint that is silent",
       idle,
       {.before = 1s},
       504,
       "stream timeout",
       "SI",
       "stream_idle_timeout"},
      {"one that moves",
       idle,
       {.before = 200ms, .parts = 5, .between = 200ms},
       200,
       "xxxxx",
       "-",
       "via_upstream"},
      {"a response that stops",
       idle,
       {.parts = 2, .between = 400ms},
       200,
       "!peer_reset",
       "SI",
       "stream_idle_timeout"},
      {"a route that allows more",
       [](World& w) {
         w.chain.stream_idle_timeout = 300ms;
         w.forward.idle_timeout = 2s;
       },
       {.before = 1s},
       200,
       "",
       "-",
       "via_upstream"},
      {"a route that allows less",
       [](World& w) { w.forward.idle_timeout = 300ms; },
       {.before = 1s},
       504,
       "stream timeout",
       "SI",
       "stream_idle_timeout"},
      {"a route without a limit",
       [](World& w) {
         w.chain.stream_idle_timeout = 300ms;
         w.forward.idle_timeout = 0ms;
       },
       {.before = 1s},
       200,
       "",
       "-",
       "via_upstream"},
  };
  for (const Row& row : rows) check(row);
}

TEST_CASE("a stream and a try last no longer than they may", "[time]") {
  const Row rows[] = {
      {"of a chain",
       [](World& w) { w.chain.max_stream_duration = 500ms; },
       {.parts = 10, .between = 100ms},
       200,
       "xxxx!peer_reset",
       "DT",
       "max_duration_timeout"},
      {"of a route, before an answer",
       [](World& w) {
         w.chain.max_stream_duration = 10s;
         w.forward.max_stream_duration = 500ms;
       },
       {.before = 1s},
       504,
       "downstream duration timeout",
       "DT",
       "max_duration_timeout"},
      {"of a cluster",
       [](World& w) { w.cluster.http.max_stream_duration = 500ms; },
       {.before = 1s},
       504,
       "upstream request timeout",
       "UMSDR",
       "upstream_max_stream_duration_reached"},
      {"of a route's tries",
       [](World& w) { w.forward.timeout = 500ms; },
       {.parts = 10, .between = 100ms},
       200,
       "xxxx!peer_reset",
       "UT",
       "via_upstream"},
  };
  for (const Row& row : rows) check(row);
}

TEST_CASE("a try ends in time, unless it was answered in time", "[time]") {
  const Row rows[] = {
      {"a try",
       [](World& w) { w.forward.retry = config::RetryPolicy{.per_try_timeout = 500ms}; },
       {.before = 1s},
       504,
       "upstream request timeout",
       "UT",
       "upstream_per_try_timeout"},
      {"a try that was answered in time goes on",
       [](World& w) { w.forward.retry = config::RetryPolicy{.per_try_timeout = 500ms}; },
       {.parts = 10, .between = 100ms},
       200,
       "xxxxxxxxxx",
       "-",
       "via_upstream"},
      {"a try that is silent",
       [](World& w) { w.forward.retry = config::RetryPolicy{.per_try_idle_timeout = 500ms}; },
       {.before = 1s},
       504,
       "upstream request timeout",
       "SI",
       "upstream_per_try_idle_timeout"},
      {"a try that stops",
       [](World& w) { w.forward.retry = config::RetryPolicy{.per_try_idle_timeout = 500ms}; },
       {.parts = 2, .between = 600ms},
       200,
       "!peer_reset",
       "SI",
       "upstream_per_try_idle_timeout"},
      {"a try that moves",
       [](World& w) { w.forward.retry = config::RetryPolicy{.per_try_idle_timeout = 500ms}; },
       {.parts = 5, .between = 400ms},
       200,
       "xxxxx",
       "-",
       "via_upstream"},
  };
  for (const Row& row : rows) check(row);
}

// Says `parts` of a request with some time between, then reads what comes until the end.
io::Task<void> dribble(World& world, std::vector<std::string> parts, io::Duration between,
                       std::string authority, std::string& answer) {
  auto wire = co_await world.call(std::move(authority));
  REQUIRE(wire.has_value());
  for (const std::string& part : parts) {
    const auto sent = co_await (*wire)->send_all(bytes(part));
    if (!sent) break;
    co_await lapse(*world.ring, between);
  }
  for (;;) {
    auto got = co_await (*wire)->recv();
    if (!got) answer += "!" + std::string(reason_name(got.error().reason));
    if (!got || got->empty()) break;
    answer += text(got->bytes());
  }
}

TEST_CASE("a client that does not end its headers of HTTP/2 in time is let go", "[time]") {
  using namespace std::literals;
  World world;
  behave(world, {});
  world.chain.request_headers_timeout = 300ms;
  world.use();
  const std::string preface("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"sv);
  const std::string begin("\0\0\x01\x01\0\0\0\0\x01\x82"sv);
  const std::string more("\0\0\x01\x09\0\0\0\0\x01\x86"sv);
  std::string answer;
  world.run(dribble(world, {preface, begin, more, more, more, more}, 150ms, kService, answer));
  CHECK(answer.ends_with("\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0b"sv));
  CHECK(world.kept.records.empty());
}

TEST_CASE("a client that does not send its request in time is told so", "[time]") {
  const struct {
    const char* what;
    void (*change)(World&);
    std::vector<std::string> parts;
    const char* answer;
    const char* flags;
    const char* details;
  } rows[] = {
      {"silent in the body",
       [](World& w) { w.chain.stream_idle_timeout = 300ms; },
       {"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc"},
       "HTTP/1.1 408",
       "SI",
       "stream_idle_timeout"},
      {"slow in the body",
       [](World& w) { w.chain.request_timeout = 300ms; },
       {"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc", "d", "e", "f", "g", "h"},
       "HTTP/1.1 408",
       "DT",
       "request_overall_timeout"},
      {"slow in the head",
       [](World& w) { w.chain.request_headers_timeout = 300ms; },
       {"GET / HTTP/1.1\r\n", "host: ", "a\r", "\n\r", "\n"},
       "HTTP/1.1 408",
       "DT",
       "request_header_timeout"},
      {"a body that is all there in time",
       [](World& w) { w.chain.request_timeout = 300ms; },
       {"POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 4\r\n\r\nab", "cd"},
       "HTTP/1.1 200",
       "-",
       "via_upstream"},
  };
  for (const auto& row : rows) {
    INFO(row.what);
    World world;
    behave(world, {.before = 400ms});
    row.change(world);
    world.use();
    std::string answer;
    world.run(dribble(world, row.parts, 150ms, kService, answer));
    INFO(answer);
    CHECK(answer.starts_with(row.answer));
    REQUIRE(world.kept.records.size() == 1);
    CHECK(world.kept.last().flags.to_string() == row.flags);
    CHECK(world.kept.last().details == row.details);
  }
}

// An upload over HTTP/2 that stops, or goes on byte by byte, and what is said to it. Another
// request on the same connection is not harmed.
io::Task<void> upload_slowly(World& world, wire::Http2Session& session, io::Duration between,
                             int parts, int& status, std::string& rest, int& other) {
  auto stream = session.open(nullptr).value();
  const http::Request post{
      .method = "POST", .authority = "a", .path = "/", .headers = {{"content-length", "9"}}};
  auto sent = co_await stream->send(post, false);
  for (int i = 0; sent && i < parts; ++i) {
    sent = co_await stream->write(bytes("x"));
    co_await lapse(*world.ring, between);
  }
  auto head = co_await stream->read_head();
  if (head) status = head->status;
  rest = co_await wire::test::read_all(*stream);
  auto second = session.open(nullptr).value();
  const http::Request get{.method = "GET", .authority = "a", .path = "/", .headers = {}};
  sent = co_await second->send(get, true);
  head = co_await second->read_head();
  if (head) other = head->status;
}

TEST_CASE("an upload over HTTP/2 that is silent or too slow is cut, and nothing else with it",
          "[time]") {
  const struct {
    const char* what;
    void (*change)(World&);
    io::Duration between;
    int parts;
    const char* flags;
    const char* details;
  } rows[] = {
      {"silent from the beginning",
       [](World& w) { w.chain.stream_idle_timeout = 300ms; },
       {},
       0,
       "SI",
       "stream_idle_timeout"},
      {"silent in the middle",
       [](World& w) { w.chain.stream_idle_timeout = 300ms; },
       {},
       3,
       "SI",
       "stream_idle_timeout"},
      {"a byte now and then", [](World& w) { w.chain.request_timeout = 500ms; }, 200ms, 5, "DT",
       "request_overall_timeout"},
      {"a byte now and then, for as long as a stream may last",
       [](World& w) { w.chain.max_stream_duration = 500ms; }, 200ms, 5, "DT",
       "max_duration_timeout"},
  };
  for (const auto& row : rows) {
    for (const auto endpoint : {wire::Version::kHttp1, wire::Version::kHttp2}) {
      INFO(row.what);
      World world;
      world.application.version = endpoint;
      if (endpoint == wire::Version::kHttp2) {
        world.cluster.http.version = config::Http::Version::kHttp2;
      }
      behave(world, {});
      row.change(world);
      world.use();
      int status = 0, other = 0;
      std::string rest;
      world.run(as_http2(world, [&](wire::Http2Session& session) {
        return upload_slowly(world, session, row.between, row.parts, status, rest, other);
      }));
      CHECK(status == 408);
      CHECK(other == 200);
      REQUIRE(world.kept.records.size() == 2);
      CHECK(world.kept.records[0].flags.to_string() == row.flags);
      CHECK(world.kept.records[0].details == row.details);
      CHECK(world.kept.records[1].status == 200);
    }
  }
}

TEST_CASE("an idle connection of HTTP ends as configured", "[time]") {
  World world;
  behave(world, {});
  world.chain.idle_timeout = 5s;
  world.use();
  std::string answer;
  const io::TimePoint begun = world.ring->now();
  world.run(dribble(world, {"GET / HTTP/1.1\r\nhost: a\r\n\r\n"}, 0ms, kService, answer));
  CHECK(answer.starts_with("HTTP/1.1 200"));
  CHECK(world.ring->now() - begun < 10s);
}

TEST_CASE("opaque connections have their times too", "[time]") {
  const struct {
    const char* what;
    void (*change)(World&);
    std::vector<std::string> parts;
    const char* answer;
    const char* flags;
  } rows[] = {
      {"silent", [](World& w) { w.tcp.idle_timeout = 300ms; }, {"a"}, "a!peer_reset", "SI"},
      {"moving",
       [](World& w) { w.tcp.idle_timeout = 300ms; },
       {"a", "b", "c", "d"},
       "abcd!peer_reset",
       "SI"},
      {"long", [](World& w) { w.tcp.max_duration = 400ms; }, {"a", "b", "c", "d"}, "", "DT"},
  };
  for (const auto& row : rows) {
    INFO(row.what);
    World world;
    world.application.raw = [](wire::Wire& wire) -> io::Task<void> {
      for (;;) {
        auto got = co_await wire.recv();
        if (!got || got->empty()) co_return;
        const auto sent = co_await wire.send_all(got->bytes());
        if (!sent) co_return;
      }
    };
    row.change(world);
    world.use();
    std::string answer;
    world.run(dribble(world, row.parts, 200ms, kTcpService, answer));
    CHECK(answer.starts_with(row.answer));
    REQUIRE(world.kept.records.size() == 1);
    CHECK(world.kept.last().flags.to_string() == row.flags);
  }
}

}  // namespace
}  // namespace mesh::waypoint::test
