// Both ends of a tunnel over real sockets: what applications see through it.

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include "mesh/hbone/test_world.h"
#include "mesh/io/event.h"
#include "mesh/tls/session.h"

namespace mesh::hbone::test {
namespace {

using namespace std::chrono_literals;

io::Task<void> talk_through(World& world) {
  auto opened = co_await world.pool->open(world.request());
  REQUIRE(opened.has_value());
  CHECK(opened->status == 200);
  CHECK(opened->peer == id(kCart));
  CHECK(h2::find_header(opened->headers, "baggage") == "k8s.namespace.name=shop");
  REQUIRE(opened->stream.has_value());
  Stream stream = *std::move(opened->stream);
  const auto sent = co_await stream.send_all(bytes("hello through the tunnel"));
  CHECK(sent.has_value());
  CHECK(stream.finish_sending().has_value());
  const std::string heard = co_await read_to_end(stream);
  CHECK(heard == "hello through the tunnel");
  CHECK(world.handler.asked == std::vector<std::string>{"10.0.0.2:80"});
  CHECK(world.handler.peers == std::vector<std::string>{kWeb});
}

TEST_CASE("bytes go through a tunnel and back, and both ends end well") {
  World world;
  world.handler.serve = echo;
  world.start();
  world.run(talk_through(world));
  REQUIRE(world.served.size() == 1);
  CHECK(world.served[0].has_value());
}

io::Task<Result<Done>> pour(Stream& stream, std::size_t total) {
  for (std::size_t at = 0; at < total;) {
    io::Buffer buffer = io::Buffer::allocate(io::kRelayBytes);
    for (std::size_t i = 0; i < buffer.size(); ++i) {
      buffer.bytes()[i] = static_cast<std::byte>((at + i) * 31 >> 3);
    }
    at += buffer.size();
    CO_TRY_DO(co_await stream.send_buffer(std::move(buffer)));
  }
  co_return stream.finish_sending();
}

io::Task<Result<std::size_t>> check_poured(Stream& stream) {
  std::size_t at = 0;
  for (;;) {
    CO_TRY(const tls::Slice got, co_await stream.recv_buffer());
    if (got.empty()) co_return at;
    for (const std::byte byte : got.bytes()) {
      if (byte != static_cast<std::byte>(at * 31 >> 3))
        co_return failed(Reason::kMalformed, "bytes");
      ++at;
    }
  }
}

constexpr std::size_t kBulk = io::kRelayBytes * 2000;

io::Task<void> bulk_both_ways(World& world) {
  auto opened = co_await world.pool->open(world.request());
  REQUIRE(opened.has_value());
  Stream stream = *std::move(opened->stream);
  const auto both = co_await io::both(pour(stream, kBulk), check_poured(stream));
  REQUIRE(both.first.has_value());
  REQUIRE(both.second.has_value());
  CHECK(*both.second == kBulk);
}

TEST_CASE("32 MB both ways at once arrive whole and in order") {
  World world;
  world.handler.serve = echo;
  world.start();
  world.run(bulk_both_ways(world));
}

io::Task<void> refuse_with_401(IncomingConnect connect) {
  connect.refuse(401);
  co_return;
}

io::Task<void> be_refused(World& world) {
  auto opened = co_await world.pool->open(world.request());
  REQUIRE(opened.has_value());
  CHECK(opened->status == 401);
  CHECK(!opened->stream.has_value());
}

TEST_CASE("a refusal is an answer, not an error") {
  World world;
  world.handler.serve = refuse_with_401;
  world.start();
  world.run(be_refused(world));
}

io::Task<void> accept_and_reset(IncomingConnect connect) {
  auto stream = connect.accept();
  REQUIRE(stream.has_value());
  (void)co_await stream->send_all(bytes("part"));
  const auto asked = co_await stream->recv_buffer();
  CHECK(asked.has_value());
  stream->reset();
}

io::Task<void> hear_the_reset(World& world) {
  auto opened = co_await world.pool->open(world.request());
  REQUIRE(opened.has_value());
  (void)co_await opened->stream->send_all(bytes("go"));
  const std::string heard = co_await read_to_end(*opened->stream);
  CHECK(heard == "part!peer_reset");
}

TEST_CASE("do better 4: an application that resets is no end of stream at the other one") {
  World world;
  world.handler.serve = accept_and_reset;
  world.start();
  world.run(hear_the_reset(world));
}

io::Task<void> note_reset(IncomingConnect connect, std::string& heard) {
  auto stream = connect.accept();
  REQUIRE(stream.has_value());
  heard = co_await read_to_end(*stream);
}

io::Task<void> drop_the_stream(World& world) {
  auto opened = co_await world.pool->open(world.request());
  REQUIRE(opened.has_value());
  (void)co_await opened->stream->send_all(bytes("abc"));
  co_await pass(world, 50ms);
  opened->stream.reset();  // the stream object is destroyed: the application is gone
  co_await pass(world, 50ms);
}

TEST_CASE("do better 5: when our application resets, the stream is reset and not left half open",
          "[time]") {
  World world;
  std::string heard;
  world.handler.serve = [&](IncomingConnect connect) {
    return note_reset(std::move(connect), heard);
  };
  world.start();
  world.run(drop_the_stream(world));
  CHECK(heard == "abc!peer_reset");
}

io::Task<Result<Done>> stay_stuck(World& world, Result<Done>& stuck) {
  io::Event never(*world.ring);  // a write to an application that does not read
  stuck = co_await never.wait();
  co_return stuck;
}

io::Task<void> break_while_stuck(World& world) {
  auto opened = co_await world.pool->open(world.request());
  REQUIRE(opened.has_value());
  (void)co_await opened->stream->send_all(bytes("go"));
  Result<Done> stuck = Done{};
  const auto end = co_await while_whole(*opened->stream, stay_stuck(world, stuck));
  REQUIRE(!end.has_value());
  CHECK(end.error().reason == Reason::kPeerReset);
  REQUIRE(!stuck.has_value());
  CHECK(stuck.error().reason == Reason::kCancelled);
}

TEST_CASE("do better 4: a reset reaches an application that does not read", "[time]") {
  World world;
  world.handler.serve = accept_and_reset;
  world.start();
  world.run(break_while_stuck(world));
}

io::Task<void> never_answer(IncomingConnect connect, Result<Done>& hung_up) {
  hung_up = co_await connect.wait_hang_up();
}

io::Task<void> give_up_waiting(World& world, io::TaskScope& scope) {
  auto opened = co_await world.pool->open(world.request());
  CHECK(!opened.has_value());
  CHECK(opened.error().reason == Reason::kCancelled);
  (void)scope;
}

io::Task<void> give_up_soon(World& world) {
  io::TaskScope scope;
  scope.spawn(give_up_waiting(world, scope));
  co_await pass(world, 100ms);
  scope.cancel();
  co_await scope.join();
  co_await pass(world, 50ms);
}

TEST_CASE("do better 5: an application that gives up before the answer is noticed at once",
          "[time]") {
  World world;
  Result<Done> hung_up = failed(Reason::kSystem, "not yet");
  world.handler.serve = [&](IncomingConnect connect) {
    return never_answer(std::move(connect), hung_up);
  };
  world.start();
  world.run(give_up_soon(world));
  CHECK(hung_up.has_value());
  CHECK(world.pool->counts().streams == 0);
}

io::Task<void> wait_in_vain(World& world, Reason reason) {
  auto opened = co_await world.pool->open(world.request());
  REQUIRE(!opened.has_value());
  CHECK(opened.error().reason == reason);
}

TEST_CASE("do better 6: a CONNECT that is never answered ends at its deadline", "[time]") {
  World world;
  Result<Done> hung_up = Done{};
  world.handler.serve = [&](IncomingConnect connect) {
    return never_answer(std::move(connect), hung_up);
  };
  world.pool_options.response_deadline = 100ms;
  world.start();
  world.run(wait_in_vain(world, Reason::kTimedOut));
}

TEST_CASE("do better 6: a server that never answers the ClientHello costs one deadline", "[time]") {
  World world;
  world.start();
  world.pool_options.handshake_deadline = 100ms;
  world.pool = std::make_unique<TunnelPool>(*world.ring, world.pool_options);
  // Nobody accepts: the kernel completes the TCP handshake alone.
  world.ring->run([](World& w) -> io::Task<void> {
    co_await wait_in_vain(w, Reason::kTimedOut);
    co_await w.pool->close(0ms);
  }(world));
}

io::Task<void> take_for_ever(World& world, IncomingConnect connect, Result<Done>& end) {
  io::Event never(*world.ring);
  end = co_await never.wait();
  (void)connect;
}

io::Task<void> hear_503(World& world) {
  const io::TimePoint asked = world.ring->now();
  auto opened = co_await world.pool->open(world.request());
  REQUIRE(opened.has_value());
  CHECK(opened->status == 503);
  CHECK(world.ring->now() - asked < 5s);
}

TEST_CASE("do better 6: a handler that never answers is cancelled, and its peer told", "[time]") {
  World world;
  Result<Done> end = Done{};
  world.handler.serve = [&](IncomingConnect connect) {
    return take_for_ever(world, std::move(connect), end);
  };
  world.server_options.answer_deadline = 2s;
  world.start();
  world.run(hear_503(world));
  REQUIRE(!end.has_value());
  CHECK(end.error().reason == Reason::kCancelled);
}

io::Task<void> say_in_tls(World& world, std::string_view said, std::string& heard_text) {
  io::ConnectOptions options;
  options.to = world.listener->local_address();
  auto socket = co_await io::connect(*world.ring, options);
  REQUIRE(socket.has_value());
  tls::SessionOptions session;
  session.now = std::chrono::floor<std::chrono::seconds>(world.ring->wall_now());
  session.accepted.push_back(id(kCart));
  const auto tls = tls::Session::create(world.client_context, session).value();
  std::vector<tls::Slice> heard;
  while (tls->state() != tls::Session::State::kPeerClosed) {
    std::vector<tls::Piece> out;
    tls->take_output(out);
    if (tls->open() && !said.empty()) {
      REQUIRE(tls->seal(tls::Piece::copy_of(std::as_bytes(std::span(said))), out).has_value());
      said = {};
    }
    for (const tls::Piece& piece : out) (void)co_await socket->send_all(piece.bytes());
    auto got = co_await socket->recv_buffer(io::BufferClass::kWire);
    REQUIRE(got.has_value());
    REQUIRE(!got->empty());
    REQUIRE(tls->feed(tls::Slice(*std::move(got)), heard).has_value());
  }
  for (const tls::Slice& slice : heard) heard_text += io::test::text(slice.bytes());
}

TEST_CASE("do better 6: who shakes hands and then asks for nothing is let go", "[time]") {
  World world;
  world.handler.serve = echo;
  world.server_options.first_deadline = 2s;
  world.start();
  const io::TimePoint before = world.ring->now();
  std::string heard;
  world.run(say_in_tls(world, "", heard));
  CHECK(world.ring->now() - before < 5s);
}

TEST_CASE("do better 6: who begins headers and never ends them is let go", "[time]") {
  using namespace std::literals;
  World world;
  world.handler.serve = echo;
  world.server_options.h2.header_deadline = 2s;
  world.start();
  const io::TimePoint before = world.ring->now();
  std::string heard;
  world.run(say_in_tls(world,
                       "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"
                       "\0\0\x01\x01\0\0\0\0\x01\x82"sv,
                       heard));
  CHECK(world.ring->now() - before < 5s);
  // GOAWAY, of no stream: ENHANCE_YOUR_CALM.
  CHECK(heard.ends_with("\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0b"sv));
}

io::Task<void> say_nothing(World& world) {
  io::ConnectOptions options;
  options.to = world.listener->local_address();
  auto socket = co_await io::connect(*world.ring, options);
  REQUIRE(socket.has_value());
  const auto end = co_await socket->recv_buffer();
  CHECK((!end.has_value() || end->empty()));
}

TEST_CASE("do better 6: a client that never sends a ClientHello is dropped at the deadline",
          "[time]") {
  World world;
  world.server_options.handshake_deadline = 100ms;
  world.start();
  world.run(say_nothing(world));
  REQUIRE(world.served.size() == 1);
  REQUIRE(!world.served[0].has_value());
  CHECK(world.served[0].error().reason == Reason::kTimedOut);
}

io::Task<void> call_as_other(World& world) {
  OpenRequest request = world.request();
  request.key.accepted = {id(kWeb)};
  auto opened = co_await world.pool->open(std::move(request));
  REQUIRE(!opened.has_value());
  CHECK(opened.error().reason == Reason::kWrongIdentity);
}

io::Task<void> call_anybody_at_home(World& world, Result<Done>& result) {
  OpenRequest request = world.request();
  request.key.accepted = {};
  request.key.any_of_own_domain = true;
  auto opened = co_await world.pool->open(std::move(request));
  result = Done{};
  if (!opened) result = std::unexpected(opened.error());
}

TEST_CASE("who is told addresses only accepts its own trust domain, and no other") {
  for (const bool home : {true, false}) {
    World world;
    world.handler.serve = echo;
    if (!home) {
      const char* const elsewhere = "spiffe://elsewhere/ns/shop/sa/cart";
      world.server_context =
          tls::Context::for_mesh(tls::Role::kServer, issue(world.ca, *world.ring, elsewhere))
              .value();
    }
    world.start();
    Result<Done> result = Done{};
    world.run(call_anybody_at_home(world, result));
    CHECK(result.has_value() == home);
    if (!home) CHECK(result.error().reason == Reason::kWrongIdentity);
  }
}

TEST_CASE("do better 3: whoever answers as somebody else is refused, and learns it") {
  World world;
  world.handler.serve = echo;
  world.start();
  world.run(call_as_other(world));
  REQUIRE(world.served.size() == 1);
  REQUIRE(!world.served[0].has_value());
}

io::Task<void> drain_under_a_stream(World& world) {
  auto opened = co_await world.pool->open(world.request());
  REQUIRE(opened.has_value());
  world.server->drain();
  co_await pass(world, 50ms);
  (void)co_await opened->stream->send_all(bytes("still"));
  CHECK(opened->stream->finish_sending().has_value());
  const std::string heard = co_await read_to_end(*opened->stream);
  CHECK(heard == "still");
  co_await pass(world, 50ms);
  CHECK(world.served.size() == 1);
}

TEST_CASE("a drained server lets the stream finish, then closes", "[time]") {
  World world;
  world.handler.serve = echo;
  world.start();
  world.run(drain_under_a_stream(world));
  CHECK(world.served[0].has_value());
}

io::Task<void> outlive_the_drain(World& world) {
  auto opened = co_await world.pool->open(world.request());
  REQUIRE(opened.has_value());
  world.server->drain();
  co_await pass(world, 20ms);
  world.server->end();
  const std::string heard = co_await read_to_end(*opened->stream);
  CHECK(heard == "!peer_reset");
}

TEST_CASE("do better 4: the deadline of a drain is an abnormal end for who is still connected",
          "[time]") {
  World world;
  world.handler.serve = echo;
  world.start();
  world.run(outlive_the_drain(world));
}

}  // namespace
}  // namespace mesh::hbone::test
