// Upgrades, whatever version the client and the endpoint speak: an Upgrade of HTTP/1.1, an extended
// CONNECT of HTTP/2; bytes both ways, each direction ended by itself; what is refused.

#include <algorithm>
#include <catch2/catch_test_macros.hpp>

#include "waypoint/test_world.h"
#include "waypoint/wire/websocket.h"

namespace mesh::waypoint::test {
namespace {

using namespace std::chrono_literals;

constexpr const char* kKey = "dGhlIHNhbXBsZSBub25jZQ==";
constexpr const char* kAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

struct Way {
  wire::Version client, endpoint;
  bool offers = true;  // the endpoint of HTTP/2: extended CONNECT
};
constexpr auto k1 = wire::Version::kHttp1;
constexpr auto k2 = wire::Version::kHttp2;

struct Seen {
  wire::Version version = k1;
  std::string protocol, key, body;
};

// An endpoint that takes what is asked for, waits for the end of the client's direction and only
// then speaks: so neither end of stream is the other's.
std::function<io::Task<void>(wire::ServerStream&)> chat(Seen& seen, bool answers_key) {
  return [&seen, answers_key](wire::ServerStream& stream) -> io::Task<void> {
    const http::Request request = stream.take_request();
    seen.version = stream.version();
    seen.protocol = request.protocol;
    seen.key = http::header_text(request.headers, "sec-websocket-key").text();
    wire::Response response{.status = 101, .headers = {{"upgrade", request.protocol}}};
    if (answers_key) {
      response.headers.push_back({"sec-websocket-accept", wire::websocket_accept(seen.key)});
    }
    const auto answered = co_await stream.respond(std::move(response), false);
    if (!answered) co_return;
    seen.body = co_await wire::test::read_all(stream);
    const auto wrote = co_await stream.write(bytes("<" + seen.body + ">"));
    if (wrote) (void)co_await stream.finish({});
  };
}

http::Request asking(const std::string& protocol, bool with_key) {
  http::Request request{.method = "GET", .authority = "cart", .path = "/chat", .headers = {}};
  request.protocol = protocol;
  if (with_key) request.headers.push_back({"sec-websocket-key", kKey});
  return request;
}

struct Got {
  int status = 0;
  h2::Headers headers = {};
  std::string body = {};
};

// Says "hello", ends, and then hears all of it.
io::Task<void> converse(wire::ClientStream& stream, const http::Request& request, Got& got) {
  const auto sent = co_await stream.send(request, false);
  REQUIRE(sent.has_value());
  auto head = co_await stream.read_head();
  if (!head) co_return;
  got.status = head->status;
  got.headers = std::move(head->headers);
  if (got.status == 101) {
    auto done = co_await stream.write(bytes("hello"));
    CHECK(done.has_value());
    done = co_await stream.finish({});
    CHECK(done.has_value());
  }
  got.body = co_await wire::test::read_all(stream);
}

io::Task<void> converse_http2(wire::Http2Session& session, const http::Request& request, Got& got) {
  auto stream = session.open(nullptr).value();
  const auto takes = co_await stream->takes_upgrades();
  REQUIRE(takes.has_value());
  REQUIRE(*takes);
  co_await converse(*stream, request, got);
}

io::Task<void> call(World& world, wire::Version version, http::Request request, Got& got) {
  if (version == k2) {
    auto story = [&](wire::Http2Session& session) { return converse_http2(session, request, got); };
    co_return co_await as_http2(world, story);
  }
  auto wire = co_await world.call();
  REQUIRE(wire.has_value());
  wire::Http1Client client(*std::move(wire), {});
  auto stream = client.begin();
  co_await converse(*stream, request, got);
}

void prepare(World& world, const Way& way) {
  using Version = config::Http::Version;
  world.chain.upgrades = {"websocket", "chat"};
  world.application.version = way.endpoint;
  world.application.http2.h2.extended_connect = way.offers;
  world.cluster.http.version = way.endpoint == k2 ? Version::kHttp2 : Version::kHttp1;
  world.use();
}

constexpr Way kWays[] = {{k1, k1}, {k1, k2}, {k2, k1}, {k2, k2}};

TEST_CASE("a WebSocket gets through, whatever each side speaks, and each direction ends alone") {
  for (const Way& way : kWays) {
    for (const bool answers_key : {true, false}) {
      // An endpoint of HTTP/2 need not know of keys; one of HTTP/1.1 must.
      if (!answers_key && way.endpoint == k1) continue;
      World world;
      Seen seen;
      world.application.handler.serve = chat(seen, answers_key);
      prepare(world, way);
      Got got;
      world.run(call(world, way.client, asking("websocket", way.client == k1), got));
      INFO(static_cast<int>(way.client) << " to " << static_cast<int>(way.endpoint));
      CHECK(got.status == 101);
      CHECK(got.body == "<hello>");
      CHECK(seen.version == way.endpoint);
      CHECK(seen.protocol == "websocket");
      const auto accept = h2::find_header(got.headers, "sec-websocket-accept");
      if (way.client == k1) CHECK(accept == kAccept);
      if (way.client == k2 && way.endpoint == k1) {
        CHECK(seen.key.size() == 24);
        CHECK_FALSE(accept.has_value());  // to a key that the client knows nothing of
      }
      CHECK(world.kept.last().status == 101);
      CHECK(world.kept.last().flags.empty());
      CHECK(world.kept.last().request_bytes == 5);
      CHECK(world.kept.last().response_bytes == 7);
    }
  }
}

TEST_CASE("any other protocol gets through as well, where the chain allows it") {
  for (const Way& way : kWays) {
    World world;
    Seen seen;
    world.application.handler.serve = chat(seen, false);
    prepare(world, way);
    Got got;
    world.run(call(world, way.client, asking("chat", false), got));
    CHECK(got.status == 101);
    CHECK(got.body == "<hello>");
    CHECK(seen.protocol == "chat");
    CHECK(seen.key.empty());
    Got refused;
    World other;
    other.application.handler.serve = chat(seen, false);
    prepare(other, way);
    other.run(call(other, way.client, asking("telnet", false), refused));
    CHECK(refused.status == 403);
    CHECK(other.kept.last().details == "upgrade_failed");
    CHECK(other.application.asked.empty());
  }
}

TEST_CASE("an endpoint of HTTP/2 that offers no extended CONNECT is asked by HTTP/1.1") {
  for (const auto client : {k1, k2}) {
    World world;
    Seen seen;
    prepare(world, {.client = client, .endpoint = k2, .offers = false});
    // It speaks both, on the same port: which one is seen by the first bytes.
    std::size_t http2 = 0;
    world.application.raw = [&](wire::Wire& wire) -> io::Task<void> {
      auto first = co_await wire.recv();
      if (!first || first->empty()) co_return;
      const bool preface = text(first->bytes()).starts_with("PRI ");
      wire::PrefixedWire whole(wire, *std::move(first));
      world.application.handler.serve = chat(seen, true);
      if (preface) {
        ++http2;
        wire::Http2Session session(*world.ring, whole, &world.application.handler,
                                   world.application.http2);
        (void)co_await session.run();
      } else {
        wire::Http1Server server(*world.ring, whole, world.application.handler, {});
        (void)co_await server.run();
      }
    };
    Got got;
    world.run(call(world, client, asking("websocket", client == k1), got));
    CHECK(got.status == 101);
    CHECK(got.body == "<hello>");
    CHECK(http2 == 1);
    CHECK(seen.version == k1);
  }
}

// ---- endpoints that do not do as asked ----

std::function<io::Task<void>(wire::ServerStream&)> say(wire::Response response) {
  return [response](wire::ServerStream& stream) -> io::Task<void> {
    (void)stream.take_request();
    const auto answered = co_await stream.respond(response, false);
    if (!answered) co_return;
    const auto wrote = co_await stream.write(bytes("no"));
    if (wrote) (void)co_await stream.finish({});
  };
}

TEST_CASE("an endpoint that declines is passed on, to either version") {
  for (const Way& way : kWays) {
    World world;
    world.application.handler.serve = say({.status = 404, .headers = {{"content-length", "2"}}});
    prepare(world, way);
    Got got;
    world.run(call(world, way.client, asking("websocket", way.client == k1), got));
    CHECK(got.status == 404);
    CHECK(got.body == "no");
  }
}

TEST_CASE("a page in place of a tunnel is shown to HTTP/1.1 as such, and never as a tunnel") {
  World one;
  one.application.handler.serve = say({.status = 200, .headers = {}});
  prepare(one, {k1, k1});
  Got page;
  one.run(call(one, k1, asking("websocket", true), page));
  CHECK(page.status == 200);
  CHECK(page.body == "no");

  World two;
  two.application.handler.serve = say({.status = 200, .headers = {}});
  prepare(two, {k2, k1});
  Got none;
  two.run(call(two, k2, asking("websocket", false), none));
  CHECK(none.status == 502);
  CHECK(two.kept.last().flags.to_string() == "UPE");
}

TEST_CASE("an answer to another key is a 502") {
  World world;
  world.application.handler.serve = [](wire::ServerStream& stream) -> io::Task<void> {
    (void)stream.take_request();
    (void)co_await stream.respond(
        {.status = 101, .headers = {{"upgrade", "websocket"}, {"sec-websocket-accept", kAccept}}},
        false);
    (void)co_await wire::test::read_all(stream);
  };
  prepare(world, {k2, k1});
  Got got;
  world.run(call(world, k2, asking("websocket", false), got));
  CHECK(got.status == 502);
}

// ---- time ----

io::Task<void> stay(World& world, wire::Version version, std::string& heard) {
  auto talk = [&](wire::ClientStream& stream) -> io::Task<void> {
    const auto takes = co_await stream.takes_upgrades();
    CHECK(takes.has_value());
    const auto sent = co_await stream.send(asking("chat", false), false);
    REQUIRE(sent.has_value());
    const auto head = co_await stream.read_head();
    REQUIRE(head.has_value());
    co_await lapse(*world.ring, 200ms);
    const auto wrote = co_await stream.write(bytes("late"));
    if (wrote) (void)co_await stream.finish({});
    heard = co_await wire::test::read_all(stream);
  };
  if (version == k2) {
    const auto story = [&](wire::Http2Session& session) -> io::Task<void> {
      auto stream = session.open(nullptr).value();
      co_await talk(*stream);
    };
    co_return co_await as_http2(world, story);
  }
  auto wire = co_await world.call();
  REQUIRE(wire.has_value());
  wire::Http1Client client(*std::move(wire), {});
  auto stream = client.begin();
  co_await talk(*stream);
}

TEST_CASE("a route's timeout is for the answer, not for what an upgrade leads to") {
  for (const Way& way : kWays) {
    World world;
    Seen seen;
    world.application.handler.serve = chat(seen, false);
    world.forward.timeout = 50ms;
    prepare(world, way);
    std::string heard;
    world.run(stay(world, way.client, heard));
    CHECK(heard == "<late>");
    CHECK(world.kept.last().flags.empty());
  }
}

TEST_CASE("an upgrade that nobody answers is a 504") {
  for (const Way& way : kWays) {
    World world;
    world.application.handler.serve = [&world](wire::ServerStream& stream) -> io::Task<void> {
      (void)stream.take_request();
      co_await lapse(*world.ring, 300ms);
    };
    world.forward.timeout = 50ms;
    prepare(world, way);
    Got got;
    world.run(call(world, way.client, asking("chat", false), got));
    CHECK(got.status == 504);
    CHECK(world.kept.last().flags.to_string() == "UT");
  }
}

}  // namespace
}  // namespace mesh::waypoint::test
