#include <algorithm>
#include <string>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include "mesh/h2/pair_for_tests.h"

namespace mesh::h2 {
namespace {

using namespace std::chrono_literals;

TEST_CASE("interim responses come before the response") {
  Pair pair;
  const StreamId id = pair.client.request(kConnect, false).value();
  pair.settle();
  REQUIRE(pair.server.respond_interim(id, {{":status", "100"}}).has_value());
  CHECK_FALSE(pair.server.respond_interim(id, {{":status", "200"}}).has_value());
  REQUIRE(pair.server.respond_interim(id, {{":status", "103"}, {"link", "x"}}).has_value());
  pair.settle();
  REQUIRE(pair.server.respond(id, kOk, true).has_value());
  pair.settle();
  CHECK(pair.client_events.log ==
        Log{"interim 1 100", "interim 1 103", "headers 1 end", "end 1", "reset 1 0"});
}

TEST_CASE("a reset right after an interim response does not lose the answer") {
  Pair pair;
  const StreamId id = pair.client.request(kConnect, false).value();
  pair.settle();
  REQUIRE(pair.server.respond_interim(id, {{":status", "100"}}).has_value());
  REQUIRE(pair.server.respond(id, kOk, false).has_value());
  pair.server.reset(id, ErrorCode::kCancel);
  pair.settle();
  CHECK(pair.client_events.log == Log{"interim 1 100", "headers 1", "reset 1 8"});
}

TEST_CASE("extended CONNECT, where it is offered") {
  Options offering = Options::for_server();
  const Headers request = {{":method", "CONNECT"},
                           {":protocol", "websocket"},
                           {":scheme", "http"},
                           {":path", "/chat"},
                           {":authority", "cart"}};
  {
    Pair pair(Options::for_client(), offering);
    CHECK_FALSE(pair.client.peer_offers_connect());
    CHECK_FALSE(pair.client.request(request, false).has_value());
  }
  offering.extended_connect = true;
  Pair pair(Options::for_client(), offering);
  CHECK(pair.client.peer_offers_connect());
  REQUIRE(pair.client.request(request, false).has_value());
  pair.settle();
  CHECK(pair.server_events.log == Log{"headers 1"});
}

TEST_CASE("a CONNECT is answered, bytes go both ways, both ends end well") {
  Pair pair;
  const StreamId id = pair.open();
  CHECK(pair.server_events.log == Log{"headers 1"});
  CHECK(pair.client_events.log == Log{"headers 1"});

  pair.client.send(id, piece("hello"));
  pair.client.finish(id);
  pair.settle();
  CHECK(pair.server_events.data[id] == "hello");
  CHECK(pair.server_events.log == Log{"headers 1", "end 1"});

  // Half-closed: the answer still comes.
  pair.server.send(id, piece(std::string(100'000, 'x')));
  pair.settle();
  CHECK(pair.client_events.data[id].size() == 100'000);
  pair.server.finish(id);
  pair.settle();
  CHECK(pair.client_events.log == Log{"headers 1", "end 1", "closed 1"});
  CHECK(pair.server_events.log == Log{"headers 1", "end 1", "closed 1"});
  CHECK(pair.client.streams() == 0);
  CHECK(pair.server.streams() == 0);
}

TEST_CASE("a refusal is HEADERS with END_STREAM, then RST_STREAM NO_ERROR") {
  Pair pair;
  const StreamId id = pair.client.request(kConnect, false).value();
  pair.settle();
  REQUIRE(pair.server.respond(id, {{":status", "401"}}, true).has_value());
  pair.settle();
  CHECK(pair.client_events.log == Log{"headers 1 end", "end 1", "reset 1 0"});
  CHECK(pair.server.streams() == 0);
}

TEST_CASE("do better 4: RST_STREAM of any code is an abnormal end, never an end of stream") {
  const ErrorCode code =
      GENERATE(ErrorCode::kNoError, ErrorCode::kCancel, ErrorCode::kRefusedStream,
               ErrorCode::kInternalError, ErrorCode::kStreamClosed);
  Pair pair;
  const StreamId id = pair.open();
  pair.client.send(id, piece("abc"));
  pair.settle();
  pair.client.reset(id, code);
  pair.settle();
  CHECK(pair.server_events.data[id] == "abc");
  CHECK(pair.server_events.log ==
        Log{"headers 1", "reset 1 " + std::to_string(static_cast<int>(code))});
}

TEST_CASE("do better 5: a response without :status is no response") {
  Pair pair;
  const StreamId id = pair.client.request(kConnect, false).value();
  pair.settle();
  // HEADERS on stream 1 with one literal field, x: y.
  const std::string_view frame("\x00\x00\x05\x01\x04\x00\x00\x00\x01\x00\x01x\x01y", 14);
  (void)pair.client.receive(tls::Slice::copy_of(std::as_bytes(std::span(frame))), pair.now);
  pair.settle();
  CHECK(pair.client_events.log == Log{"reset 1 1"});
  CHECK(!pair.client.is_open(id));
}

TEST_CASE("when the transport ends every stream hears of it") {
  Pair pair;
  pair.open();
  pair.open();
  pair.server.transport_ended();
  CHECK(std::ranges::count_if(pair.server_events.log,
                              [](const auto& line) { return line.starts_with("reset"); }) == 2);
  CHECK(pair.server.streams() == 0);
}

TEST_CASE("drain: 2^31-1, PING, then the real last stream; later streams are ignored") {
  Pair pair;
  const StreamId id = pair.open();
  pair.server.drain();
  pair.settle();
  CHECK(pair.client_events.log == Log{"headers 1", "goaway 0 2147483647", "goaway 0 1"});
  CHECK(!pair.client.request(kConnect, false).has_value());
  CHECK(!pair.server.finished());
  pair.client.send(id, piece("still"));
  pair.settle();
  CHECK(pair.server_events.data[id] == "still");
  pair.client.finish(id);
  pair.server.finish(id);
  pair.settle();
  CHECK(pair.server.finished());
}

TEST_CASE("a PING every 10 seconds, and 20 seconds of patience") {
  Pair pair;
  CHECK(pair.server.next_deadline() == io::TimePoint(11s));
  pair.now = io::TimePoint(11s);
  REQUIRE(pair.server.on_deadline(pair.now).has_value());
  pair.settle();
  CHECK(pair.server.next_deadline() == io::TimePoint(21s));
  pair.now = io::TimePoint(21s);
  REQUIRE(pair.server.on_deadline(pair.now).has_value());
  std::vector<tls::Piece> lost;
  pair.server.produce(lost, 1 << 20);
  CHECK(pair.server.next_deadline() == io::TimePoint(41s));
  CHECK(pair.server.on_deadline(io::TimePoint(40s)).has_value());
  const auto dead = pair.server.on_deadline(io::TimePoint(41s));
  REQUIRE(!dead.has_value());
  CHECK(dead.error().reason == Reason::kTimedOut);
  CHECK(pair.server.finished());
}

TEST_CASE("streams of a server share what there is room for") {
  Pair pair;
  const StreamId older = pair.open();
  const StreamId younger = pair.open();
  for (const StreamId id : {older, younger}) {
    pair.server.send(id, piece(std::string(200'000, 'd')));
  }
  for (int i = 0; i < 10; ++i) pair.carry(pair.server, pair.client, 16'384);
  const std::size_t first = pair.client_events.data[older].size();
  const std::size_t second = pair.client_events.data[younger].size();
  CHECK(first > 0);
  CHECK(second + 2 * 16'384 >= first);
  CHECK(first + 2 * 16'384 >= second);
}

TEST_CASE("a stream whose reader stalls holds 256 KiB, and its neighbour does not notice") {
  Pair pair;
  const StreamId stalled = pair.open();
  const StreamId lively = pair.open();
  pair.client.send(stalled, piece(std::string(2'000'000, 's')));
  pair.settle();
  CHECK(pair.server_events.data[stalled].size() == kCreditInitial);
  for (int i = 0; i < 300; ++i) {
    pair.client.send(lively, piece(std::string(65'536, 'l')));
    pair.settle();
    pair.server.consumed(lively, 65'536);
    pair.settle();
  }
  CHECK(pair.server_events.data[lively].size() == 300u * 65'536u);
  CHECK(pair.server_events.data[stalled].size() == kCreditInitial);
  // It catches up, and goes on.
  pair.server.consumed(stalled, kCreditInitial);
  pair.settle();
  CHECK(pair.server_events.data[stalled].size() == 2 * kCreditInitial);
}

TEST_CASE("credit grows to the bandwidth-delay product of a reader that keeps up, and no further") {
  Pair pair;
  const StreamId id = pair.open();
  pair.server_events.consume_at = &pair.server;
  pair.client.send(id, piece(std::string(200'000'000, 'x')));
  // A path of 25 ms each way: what is produced in one step is heard in the next.
  const std::size_t per_step = 2'000'000;
  std::size_t before = 0;
  constexpr int kSteps = 80;
  for (int i = 0; i < kSteps; ++i) {
    if (i == kSteps - 20) before = pair.server_events.data[id].size();
    std::vector<tls::Piece> forth;
    std::vector<tls::Piece> back;
    pair.client.produce(forth, per_step);
    pair.server.produce(back, 1 << 20);
    pair.now += 25ms;
    for (auto& p : forth) (void)pair.server.receive(tls::Slice::copy_of(p.bytes()), pair.now);
    for (auto& p : back) (void)pair.client.receive(tls::Slice::copy_of(p.bytes()), pair.now);
  }
  CHECK(pair.server_events.data[id].size() - before >= 20 * per_step * 9 / 10);
  CHECK(pair.server.credit(id) >= 2 * per_step);
  CHECK(pair.server.credit(id) <= kCreditMax);
}

TEST_CASE("credit does not grow on a short path whose every PING was slowed") {
  Pair pair;
  pair.server_events.path = 100us;
  const StreamId id = pair.open();
  pair.server_events.consume_at = &pair.server;
  pair.client.send(id, piece(std::string(50'000'000, 'x')));
  for (int i = 0; i < 80; ++i) {
    std::vector<tls::Piece> forth;
    std::vector<tls::Piece> back;
    pair.client.produce(forth, 2'000'000);
    pair.server.produce(back, 1 << 20);
    pair.now += 100ms;
    for (auto& p : forth) (void)pair.server.receive(tls::Slice::copy_of(p.bytes()), pair.now);
    for (auto& p : back) (void)pair.client.receive(tls::Slice::copy_of(p.bytes()), pair.now);
  }
  CHECK(pair.server.credit(id) == kCreditInitial);
}

TEST_CASE("a connection that others' unread bytes have stopped goes on when those are read") {
  CreditBudget budget;
  budget.unread_max = 100'000;
  Options options = Options::for_server();
  options.budget = &budget;
  options.connection_window = 262'144;
  Pair stalled(Options::for_client(), options);
  Pair quick(Options::for_client(), options);
  const StreamId slow = *stalled.client.request(kConnect, false);
  stalled.client.send(slow, piece(std::string(200'000, 's')));
  stalled.settle();
  REQUIRE(budget.over());

  constexpr std::size_t kAll = 2'000'000;
  quick.server_events.consume_at = &quick.server;
  const StreamId fast = *quick.client.request(kConnect, false);
  quick.client.send(fast, piece(std::string(kAll, 'f')));
  quick.settle();
  CHECK(quick.server_events.data[fast].size() <= 2 * options.connection_window);

  stalled.server.consumed(slow, 200'000);
  quick.settle();
  CHECK(quick.server_events.data[fast].size() == kAll);
  CHECK(budget.unread() == 0);
}

TEST_CASE("requests beyond the peer's limit wait, in order, on the same connection") {
  Options server = Options::for_server();
  server.max_concurrent_streams = 1;
  Pair pair(Options::for_client(), server);
  const StreamId first = pair.client.request(kConnect, false).value();
  const StreamId second = pair.client.request(kConnect, false).value();
  pair.settle();
  CHECK(pair.client.peer_max_streams() == 1);
  CHECK(pair.server_events.log == Log{"headers 1"});
  REQUIRE(pair.server.respond(first, {{":status", "503"}}, true).has_value());
  pair.settle();
  CHECK(pair.server_events.log == Log{"headers 1", "reset 1 0", "headers 3"});
  pair.client.reset(second, ErrorCode::kCancel);
  pair.settle();
  CHECK(pair.client.streams() == 0);
}

TEST_CASE("requests with headers, data and trailers, as gRPC has them") {
  Pair pair;
  const StreamId id = pair.client
                          .request({{":method", "POST"},
                                    {":scheme", "https"},
                                    {":path", "/a.B/C"},
                                    {":authority", "control"},
                                    {"te", "trailers"}},
                                   false)
                          .value();
  pair.client.send(id, piece("ask"));
  pair.client.finish(id);
  pair.settle();
  CHECK(pair.server_events.log == Log{"headers 1", "end 1"});
  REQUIRE(pair.server.respond(id, {{":status", "200"}, {"content-type", "application/grpc"}}, false)
              .has_value());
  pair.server.send(id, piece("answer"));
  REQUIRE(pair.server.trailers(id, {{"grpc-status", "0"}}).has_value());
  pair.settle();
  CHECK(pair.client_events.data[id] == "answer");
  CHECK(pair.client_events.log == Log{"headers 1", "headers 1 end", "end 1", "closed 1"});
}

}  // namespace
}  // namespace mesh::h2
