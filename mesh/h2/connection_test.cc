#include "mesh/h2/connection.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <string>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

namespace mesh::h2 {
namespace {

using namespace std::chrono_literals;

// Writes down what happens, one line an event.
struct Recorder final : Events {
  std::vector<std::string> log;
  std::map<StreamId, std::string> data;
  std::function<void(StreamId, const Headers&, bool)> headers = [](StreamId, const Headers&, bool) {
  };
  std::size_t sent_events = 0;
  std::optional<io::Duration> path;
  std::optional<io::Duration> path_round_trip() override { return path; }
  Connection* consume_at = nullptr;  // read at once

  void on_headers(StreamId id, Headers list, bool end) override {
    log.push_back("headers " + std::to_string(id) + (end ? " end" : ""));
    headers(id, list, end);
  }
  void on_data(StreamId id, tls::Slice bytes) override {
    data[id].append(reinterpret_cast<const char*>(bytes.bytes().data()), bytes.size());
    if (consume_at != nullptr) consume_at->consumed(id, bytes.size());
  }
  void on_interim(StreamId id, Headers list) override {
    log.push_back("interim " + std::to_string(id) + " " + list.at(0).value);
  }
  void on_end(StreamId id) override { log.push_back("end " + std::to_string(id)); }
  void on_reset(StreamId id, ErrorCode code) override {
    log.push_back("reset " + std::to_string(id) + " " + std::to_string(static_cast<int>(code)));
  }
  void on_closed(StreamId id) override { log.push_back("closed " + std::to_string(id)); }
  void on_sent(StreamId) override { ++sent_events; }
  void on_goaway(ErrorCode code, StreamId last) override {
    log.push_back("goaway " + std::to_string(static_cast<int>(code)) + " " + std::to_string(last));
  }
  void on_pong() override { log.emplace_back("pong"); }
};

using Log = std::vector<std::string>;

const Headers kConnect = {{":method", "CONNECT"}, {":authority", "10.0.0.2:80"}};
const Headers kOk = {{":status", "200"}};

struct Pair {
  io::TimePoint now{1s};
  Recorder client_events;
  Recorder server_events;
  Connection client;
  Connection server;
  std::size_t carried = 0;

  explicit Pair(Options client_options = Options::for_client(),
                Options server_options = Options::for_server())
      : client(client_options, client_events, now), server(server_options, server_events, now) {
    settle();
  }

  // Carries one way; false when there was nothing.
  bool carry(Connection& from, Connection& to, std::size_t room = 1 << 20) {
    std::vector<tls::Piece> pieces;
    from.produce(pieces, room);
    for (const tls::Piece& piece : pieces) {
      CHECK(piece.size() <= 16384);
      CHECK(piece.headroom() >= 5);
      CHECK(piece.tailroom() >= 17);
      carried += piece.size();
      (void)to.receive(tls::Slice::copy_of(piece.bytes()), now);
    }
    return !pieces.empty();
  }
  void settle() {
    for (bool moved = true; moved;) {
      moved = carry(client, server);
      moved = carry(server, client) || moved;
    }
  }
  StreamId open() {
    const StreamId id = client.request(kConnect, false).value();
    settle();
    REQUIRE(server.respond(id, kOk, false).has_value());
    settle();
    return id;
  }
};

tls::Piece piece(std::string_view text) {
  return tls::Piece::copy_of(std::as_bytes(std::span(text)));
}

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

std::string frame(std::size_t length, std::uint8_t type, std::uint8_t flags, std::uint32_t stream,
                  std::string_view payload = {}) {
  std::string text;
  for (const int shift : {16, 8, 0}) text.push_back(static_cast<char>(length >> shift));
  text.push_back(static_cast<char>(type));
  text.push_back(static_cast<char>(flags));
  for (const int shift : {24, 16, 8, 0}) text.push_back(static_cast<char>(stream >> shift));
  text.append(payload);
  return text;
}

TEST_CASE("floods end the connection with ENHANCE_YOUR_CALM") {
  struct Row {
    const char* what;
    std::string frames;
    Flood flood;
  };
  const std::string eight(8, 'p');
  std::string resets;
  // Each stream: GET http / by the static table, then RST_STREAM CANCEL.
  for (std::uint32_t id = 3; id < 3 + 2 * 500; id += 2) {
    resets += frame(3, 1, 4, id, "\x82\x86\x84");
    resets += frame(4, 3, 0, id, std::string_view("\0\0\0\x08", 4));
  }
  std::string settings;
  for (int i = 0; i < 100; ++i) settings += frame(0, 4, 0, 0);
  std::string pings;
  for (int i = 0; i < 500; ++i) pings += frame(8, 6, 0, 0, eight);
  std::string empty;
  for (int i = 0; i < 500; ++i) empty += frame(0, 0, 0, 1);
  std::string windows;
  for (int i = 0; i < 5000; ++i) windows += frame(4, 8, 0, 0, std::string_view("\0\0\0\x01", 4));
  std::string priority;
  for (int i = 0; i < 500; ++i) priority += frame(5, 2, 0, 1, std::string_view("\0\0\0\0\x10", 5));
  std::string continuations = frame(1, 1, 0, 3, "\x88");
  for (int i = 0; i < 100; ++i) continuations += frame(1, 9, 0, 3, "\x88");
  const auto row = GENERATE_COPY(values<Row>({{"SETTINGS", settings, Flood::kSettings},
                                              {"PING", pings, Flood::kPing},
                                              {"empty DATA", empty, Flood::kEmptyData},
                                              {"WINDOW_UPDATE", windows, Flood::kWindowUpdate},
                                              {"PRIORITY", priority, Flood::kOther},
                                              {"CONTINUATION", continuations, Flood::kHeaders},
                                              {"rapid reset", resets, Flood::kReset}}));
  INFO(row.what);
  Pair pair;
  pair.open();
  const auto end =
      pair.server.receive(tls::Slice::copy_of(std::as_bytes(std::span(row.frames))), pair.now);
  REQUIRE(!end.has_value());
  CHECK(end.error().reason == Reason::kFlood);
  CHECK(pair.server.flood() == row.flood);
  pair.settle();
  REQUIRE(!pair.client_events.log.empty());
  CHECK(pair.client_events.log.back().starts_with("goaway 11 "));
}

TEST_CASE("a header block that does not end in time ends the connection") {
  Options options = Options::for_server();
  options.header_deadline = 5s;
  Pair pair(Options::for_client(), options);
  pair.open();
  const auto hear = [&](const std::string& said) {
    const auto bytes = tls::Slice::copy_of(std::as_bytes(std::span(said)));
    REQUIRE(pair.server.receive(bytes, pair.now).has_value());
  };
  const io::TimePoint began = pair.now;
  hear(frame(3, 1, 1, 3, "\x82\x86\x84"));
  CHECK(pair.server.next_deadline() == began + 5s);
  hear(frame(1, 9, 0, 3, "\x90"));  // nor does more of it give it more time
  CHECK(pair.server.next_deadline() == began + 5s);
  SECTION("one that ends is a request") {
    hear(frame(0, 9, 4, 3));
    CHECK(pair.server_events.log.back() == "end 3");
    CHECK(pair.server.on_deadline(began + 6s).has_value());
  }
  SECTION("one that does not is the end") {
    const auto end = pair.server.on_deadline(began + 5s);
    REQUIRE(!end.has_value());
    CHECK(end.error().reason == Reason::kTimedOut);
    pair.settle();
    CHECK(pair.client_events.log.back().starts_with("goaway 11 "));
  }
}

TEST_CASE("a header list far beyond its limit ends the connection, and says why") {
  // One field of 4 000 bytes into the table, and then again and again by a byte.
  std::string block = "\x82\x86\x84\x40\x01x\x7f\xa1\x1e" + std::string(4000, 'y');
  for (int i = 0; i < 12'000; ++i) block += '\xbe';
  Pair pair;
  pair.open();
  const std::string said = frame(static_cast<std::uint32_t>(block.size()), 1, 5, 3, block);
  const auto end =
      pair.server.receive(tls::Slice::copy_of(std::as_bytes(std::span(said))), pair.now);
  REQUIRE(!end.has_value());
  CHECK(end.error().reason == Reason::kTooLarge);
  pair.settle();
  REQUIRE(!pair.client_events.log.empty());
  CHECK(pair.client_events.log.back().starts_with("goaway 11 "));
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
