#include <string>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include "mesh/h2/pair_for_tests.h"

namespace mesh::h2 {
namespace {

using namespace std::chrono_literals;

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

TEST_CASE("space around a value is dropped when it arrives, and resets in a pseudo-header") {
  Pair pair;
  pair.open();
  Headers came;
  pair.server_events.headers = [&](StreamId, const Headers& list, bool) { came = list; };
  const auto hear = [&](const std::string& block, std::uint32_t stream) {
    const std::string said = frame(block.size(), 1, 5, stream, block);
    const auto bytes = tls::Slice::copy_of(std::as_bytes(std::span(said)));
    REQUIRE(pair.server.receive(bytes, pair.now).has_value());
  };
  using std::literals::string_literals::operator""s;
  hear("\x82\x86\x84\0\x01x\x05 a b\t\0\x01y\x02 \t\0\x01z\1c"s, 3);
  CHECK(find_header(came, "x") == "a b");
  CHECK(find_header(came, "y") == "");
  CHECK(find_header(came, "z") == "c");
  hear("\x82\x86\0\x05:path\x02/ "s, 5);
  CHECK(came.size() == 6);  // it has not been heard of
  pair.settle();
  hear("\x82\x86\x84"s, 7);
  CHECK(came.size() == 3);
}

}  // namespace
}  // namespace mesh::h2
