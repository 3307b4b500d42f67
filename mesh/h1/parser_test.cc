#include "mesh/h1/parser.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <string>

namespace mesh::h1 {
namespace {

using namespace std::string_literals;

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

// Everything of one message, read in pieces of `step` bytes.
struct Reading {
  Fault fault = Fault::kNone;
  bool head = false, end = false;
  std::string body = {};
  std::string rest = {};
};

Reading read(Parser& parser, std::string_view text, std::size_t step = 1 << 20) {
  Reading reading;
  while (!text.empty() && !reading.end) {
    std::vector<std::span<const std::byte>> body;
    const auto part = text.substr(0, step);
    const Parsed parsed = parser.parse(bytes(part), body);
    for (const auto piece : body) {
      reading.body.append(reinterpret_cast<const char*>(piece.data()), piece.size());
    }
    reading.head |= parsed.head;
    reading.end |= parsed.end;
    reading.fault = parser.fault();
    if (reading.fault != Fault::kNone) return reading;
    text.remove_prefix(parsed.consumed);
    if (parsed.consumed == 0) break;
  }
  reading.rest = text;
  return reading;
}

Fault fault_of_request(std::string_view text) {
  Parser whole(Parser::Kind::kRequests, {});
  const Fault fault = read(whole, text).fault;
  Parser bytewise(Parser::Kind::kRequests, {});
  CHECK(read(bytewise, text, 1).fault == fault);
  return fault;
}

TEST_CASE("a length is passed on in one spelling") {
  Parser parser(Parser::Kind::kRequests, {});
  const auto reading =
      read(parser, "POST / HTTP/1.1\r\nhost: a\r\nContent-Length: 005\r\n\r\nhello");
  CHECK(reading.end);
  CHECK(h2::find_header(parser.take_request().headers, "content-length") == "5");
}

TEST_CASE("an ordinary request") {
  for (const std::size_t step : {1, 3, 1000}) {
    Parser parser(Parser::Kind::kRequests, {});
    const auto reading = read(parser,
                              "POST /a?b=c HTTP/1.1\r\nHost: cart:80\r\nX-One:  1 \r\n"
                              "Content-Length: 5\r\nConnection: keep-alive\r\n\r\nhelloGET",
                              step);
    CHECK(reading.fault == Fault::kNone);
    CHECK(reading.end);
    CHECK(reading.body == "hello");
    CHECK(reading.rest == "GET");
    const RequestHead head = parser.take_request();
    CHECK(head.method == "POST");
    CHECK(head.path == "/a?b=c");
    CHECK(head.authority == "cart:80");
    CHECK(head.keep_alive);
    CHECK(head.framing == Framing::kLength);
    CHECK(head.headers == h2::Headers{{"x-one", "1"}, {"content-length", "5"}});
  }
}

TEST_CASE("chunks, extensions and trailers") {
  for (const std::size_t step : {1, 7, 1000}) {
    Parser parser(Parser::Kind::kRequests, {});
    const auto reading = read(parser,
                              "PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: Chunked\r\n\r\n"
                              "5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: 9\r\nHost: evil\r\n\r\n",
                              step);
    CHECK(reading.fault == Fault::kNone);
    CHECK(reading.end);
    CHECK(reading.body == "hello!");
    CHECK(parser.take_request().framing == Framing::kChunked);
    CHECK(parser.take_trailers() == h2::Headers{{"x-sum", "9"}});
  }
}

TEST_CASE("a chunk's extension is as long in pieces as it is whole") {
  const std::size_t most = Limits{}.chunk_extension_max;
  for (const std::size_t step : {1, 4, 1000}) {
    INFO(step);
    for (const bool too_long : {false, true}) {
      Parser parser(Parser::Kind::kRequests, {});
      const std::string name(too_long ? most : most - 1, 'a');  // and the mark before it
      const auto reading =
          read(parser,
               "PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5;" + name +
                   "\r\nhello\r\n0\r\n\r\n",
               step);
      CHECK(reading.fault == (too_long ? Fault::kExtensionTooLong : Fault::kNone));
      CHECK(reading.body == (too_long ? "" : "hello"));
    }
  }
}

TEST_CASE("several requests in one piece") {
  Parser parser(Parser::Kind::kRequests, {});
  const std::string two =
      "GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
  const auto first = read(parser, two);
  CHECK(first.end);
  CHECK(parser.take_request().path == "/1");
  const auto second = read(parser, first.rest);
  CHECK(second.end);
  const RequestHead head = parser.take_request();
  CHECK(head.path == "/2");
  CHECK_FALSE(head.keep_alive);
}

TEST_CASE("what belongs to the connection goes no further") {
  Parser parser(Parser::Kind::kRequests, {});
  read(
      parser,
      "GET / HTTP/1.1\r\nhost: a\r\nconnection: x-drop, Upgrade\r\nx-drop: 1\r\nx-keep: 2\r\n"
      "upgrade: WebSocket\r\nkeep-alive: timeout=5\r\nte: trailers\r\nproxy-connection: x\r\n\r\n");
  const RequestHead head = parser.take_request();
  CHECK(head.headers == h2::Headers{{"x-keep", "2"}, {"te", "trailers"}});
  CHECK(head.upgrade == "websocket");
}

TEST_CASE("h2c is never upgraded to") {
  Parser parser(Parser::Kind::kRequests, {});
  read(parser,
       "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n"
       "http2-settings: AAMAAABkAAQAAP__\r\n\r\n");
  const RequestHead head = parser.take_request();
  CHECK(head.upgrade.empty());
  CHECK(head.headers.empty());
}

// Everything that two readers could take two ways.
struct Row {
  std::string text;
  Fault fault;
};

void check_rows(std::span<const Row> rows) {
  for (const Row& row : rows) {
    INFO(row.text);
    CHECK(fault_name(fault_of_request(row.text)) == fault_name(row.fault));
  }
}

TEST_CASE("hostile framing of requests is refused") {
  const Row rows[] = {
      {"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
       Fault::kFraming},
      {"GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n",
       Fault::kFraming},
      {"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
       Fault::kFraming},
      {"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\n",
       Fault::kFraming},
      {"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 5, 5\r\n\r\n", Fault::kFraming},
      {"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: +5\r\n\r\n", Fault::kFraming},
      {"GET / HTTP/1.1\r\nhost: a\r\ncontent_length: 5\r\n\r\n", Fault::kFraming},
      {"GET / HTTP/1.1\r\nhost: a\r\nTransfer_Encoding: chunked\r\n\r\n", Fault::kFraming},
      {"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: -5\r\n\r\n", Fault::kFraming},
      {"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 0x5\r\n\r\n", Fault::kFraming},
      {"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999999999999\r\n\r\n",
       Fault::kFraming},
      {"GET / HTTP/1.1\r\nhost: a\r\ncontent-length:\r\n\r\n", Fault::kFraming},
      {"GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n", Fault::kFraming},
      {"GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n", Fault::kFraming},
      {"GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, gzip\r\n\r\n", Fault::kFraming},
      {"GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked"
       "\r\n\r\n",
       Fault::kFraming},
      {"GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n", Fault::kFraming},
      {"GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: \"chunked\"\r\n\r\n", Fault::kFraming},
      {"GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding:\r\n\r\n", Fault::kFraming},
      {"GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding : chunked\r\n\r\n", Fault::kSyntax},
      {"GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nx\r\n", Fault::kFraming},
      {"GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n",
       Fault::kFraming},
      {"GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
       Fault::kSyntax},
      {"GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhelloX0\r\n\r\n",
       Fault::kSyntax},
      {"GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5;a\nhello\r\n0\r\n\r\n",
       Fault::kSyntax},
      {"GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
       "11111111111111111\r\nhello\r\n",
       Fault::kFraming},
      {"GET / HTTP/1.1\r\nhost: a\r\nconnection: content-length\r\ncontent-length: 5\r\n\r\n",
       Fault::kFraming},
      {"GET / HTTP/1.1\r\nhost: a\r\nconnection: authorization\r\nauthorization: x\r\n\r\n",
       Fault::kFraming},
  };
  check_rows(rows);
}

TEST_CASE("hostile heads of requests are refused") {
  const Row rows[] = {
      {"GET / HTTP/1.1\nhost: a\r\n\r\n", Fault::kSyntax},
      {"GET / HTTP/1.1\r\nhost: a\n\r\n", Fault::kSyntax},
      {"GET / HTTP/1.1\r\nhost: a\r\nx: 1\n\n", Fault::kSyntax},
      {"GET / HTTP/1.1\r\nhost: a\r\nx: 1\rfoo: 2\r\n\r\n", Fault::kSyntax},
      {"GET / HTTP/1.1\r\nhost: a\r\nx: 1\r\n folded\r\n\r\n", Fault::kSyntax},
      {"GET / HTTP/1.1\r\n host: a\r\n\r\n", Fault::kSyntax},
      {"GET / HTTP/1.1\r\nhost: a\r\nx : 1\r\n\r\n", Fault::kSyntax},
      {"GET / HTTP/1.1\r\nhost: a\r\n: 1\r\n\r\n", Fault::kSyntax},
      {"GET / HTTP/1.1\r\nhost: a\r\nx\r\n\r\n", Fault::kSyntax},
      {"GET / HTTP/1.1\r\nhost: a\r\nx\0y: 1\r\n\r\n"s, Fault::kSyntax},
      {"GET / HTTP/1.1\r\nhost: a\r\nx: 1\0002\r\n\r\n"s, Fault::kSyntax},
      {"GET /\0 HTTP/1.1\r\nhost: a\r\n\r\n"s, Fault::kTarget},
      {"GET /a b HTTP/1.1\r\nhost: a\r\n\r\n", Fault::kSyntax},
      {"GET /\xc3\xa9 HTTP/1.1\r\nhost: a\r\n\r\n", Fault::kTarget},
      {"GET /a#b HTTP/1.1\r\nhost: a\r\n\r\n", Fault::kTarget},
      {"GET a HTTP/1.1\r\nhost: a\r\n\r\n", Fault::kTarget},
      {"GET * HTTP/1.1\r\nhost: a\r\n\r\n", Fault::kTarget},
      {"GET ftp://a/ HTTP/1.1\r\nhost: a\r\n\r\n", Fault::kTarget},
      {"CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n", Fault::kTarget},
      {"GET / HTTP/1.1\r\n\r\n", Fault::kHost},
      {"GET / HTTP/1.1\r\nhost:\r\n\r\n", Fault::kHost},
      {"GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n", Fault::kHost},
      {"GET / HTTP/1.1\r\nhost: a, b\r\n\r\n", Fault::kHost},
      {"GET / HTTP/1.1\r\nhost: u@a\r\n\r\n", Fault::kHost},
      {"GET / HTTP/1.1\r\nhost: a/b\r\n\r\n", Fault::kHost},
      {"GET http://b/ HTTP/1.1\r\nhost: a\r\n\r\n", Fault::kHost},
      {"GET http://u@a/ HTTP/1.1\r\nhost: a\r\n\r\n", Fault::kHost},
      {"GET / HTTP/1.0\r\nhost: a\r\n\r\n", Fault::kVersion},
      {"GET / HTTP/2.0\r\nhost: a\r\n\r\n", Fault::kSyntax},
      {"GET / HTTP/1.2\r\nhost: a\r\n\r\n", Fault::kSyntax},
      {"GET / HTTP/01.1\r\nhost: a\r\n\r\n", Fault::kSyntax},
      {"GET / http/1.1\r\nhost: a\r\n\r\n", Fault::kSyntax},
      {"GET /\r\n\r\n", Fault::kSyntax},
      {"get / HTTP/1.1\r\nhost: a\r\n\r\n", Fault::kSyntax},
      {"FROB / HTTP/1.1\r\nhost: a\r\n\r\n", Fault::kSyntax},
      {" GET / HTTP/1.1\r\nhost: a\r\n\r\n", Fault::kSyntax},
  };
  check_rows(rows);
}

TEST_CASE("limits of a head") {
  const std::string start = "GET / HTTP/1.1\r\nhost: a\r\n";
  CHECK(fault_of_request("GET /" + std::string(17000, 'a')) == Fault::kTargetTooLong);
  CHECK(fault_of_request(start + "x: " + std::string(70000, 'a')) == Fault::kHeadersTooLarge);
  CHECK(fault_of_request(start + std::string(70000, 'a')) == Fault::kHeadersTooLarge);
  std::string many = start;
  for (int i = 0; i < 101; ++i) many += "x: 1\r\n";
  CHECK(fault_of_request(many + "\r\n") == Fault::kHeadersTooLarge);
  std::string lines;
  for (int i = 0; i < 40000; ++i) lines += "\r\n";
  CHECK(fault_of_request(lines) == Fault::kHeadersTooLarge);
  const std::string chunked = start + "transfer-encoding: chunked\r\n\r\n";
  CHECK(fault_of_request(chunked + "1;" + std::string(300, 'x') + "\r\n") ==
        Fault::kExtensionTooLong);
  CHECK(fault_of_request(chunked + "0\r\nx: " + std::string(20000, 'x') + "\r\n") ==
        Fault::kHeadersTooLarge);
  CHECK(status_of(Fault::kTargetTooLong) == 414);
  CHECK(status_of(Fault::kHeadersTooLarge) == 431);
  CHECK(status_of(Fault::kVersion) == 426);
  CHECK(status_of(Fault::kFraming) == 400);
}

struct Answer {
  Reading reading;
  ResponseHead head;
  bool whole = false;  // finish() after it
};

Answer answer(std::string_view text, std::string_view method = "GET", std::size_t step = 1 << 20) {
  Parser parser(Parser::Kind::kResponses, {});
  parser.expect_response_to(method);
  Answer got;
  got.reading = read(parser, text, step);
  if (got.reading.head) got.head = parser.take_response();
  got.whole = parser.finish();
  return got;
}

TEST_CASE("responses and how they end") {
  const auto lengthy = answer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhiX");
  CHECK(lengthy.reading.end);
  CHECK(lengthy.reading.body == "hi");
  CHECK(lengthy.reading.rest == "X");
  CHECK(lengthy.head.keep_alive);

  const auto endless = answer("HTTP/1.1 200 OK\r\n\r\nhi");
  CHECK_FALSE(endless.reading.end);
  CHECK(endless.whole);
  CHECK(endless.head.framing == Framing::kUntilEnd);
  CHECK_FALSE(endless.head.keep_alive);

  const auto old = answer("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi");
  CHECK(old.reading.end);
  CHECK_FALSE(old.head.keep_alive);

  CHECK_FALSE(answer("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhi").whole);
  CHECK_FALSE(answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n").whole);
  CHECK_FALSE(answer("HTTP/1.1 200").whole);
}

TEST_CASE("responses without a body") {
  for (const std::size_t step : {1, 1000}) {
    const auto head =
        answer("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\nHTTP/1.1", "HEAD", step);
    CHECK(head.reading.end);
    CHECK(head.reading.body.empty());
    CHECK(head.reading.rest == "HTTP/1.1");
    CHECK(head.head.headers == h2::Headers{{"content-length", "500"}});
    const auto none = answer("HTTP/1.1 204 No Content\r\n\r\nX", "GET", step);
    CHECK(none.reading.end);
    CHECK(none.reading.rest == "X");
    const auto same =
        answer("HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\nX", "GET", step);
    CHECK(same.reading.end);
    CHECK(same.reading.rest == "X");
    const auto interim = answer("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200", "GET", step);
    CHECK(interim.reading.end);
    CHECK(interim.head.status == 100);
    CHECK(interim.reading.rest == "HTTP/1.1 200");
    const auto hints = answer("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nX", "GET", step);
    CHECK(hints.reading.end);
    CHECK(hints.head.headers.size() == 1);
    const auto odd = answer("HTTP/1.1 199 Odd\r\n\r\nX", "GET", step);
    CHECK(odd.reading.end);
    CHECK(odd.reading.rest == "X");
  }
  const auto upgraded =
      answer("HTTP/1.1 101 Go\r\nconnection: upgrade\r\nupgrade: WebSocket\r\n\r\n\x81\x05");
  CHECK(upgraded.head.status == 101);
  CHECK(upgraded.head.upgrade == "websocket");
  CHECK(upgraded.reading.rest == "\x81\x05");
}

TEST_CASE("hostile responses are refused") {
  const Row rows[] = {
      {"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
       Fault::kFraming},
      {"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n",
       Fault::kFraming},
      {"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\n", Fault::kFraming},
      {"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n", Fault::kFraming},
      {"HTTP/1.1 204 OK\r\ncontent-length: 5\r\n\r\n", Fault::kFraming},
      {"HTTP/1.1 100 OK\r\ncontent-length: 5\r\n\r\n", Fault::kFraming},
      {"HTTP/1.1 103 OK\r\ntransfer-encoding: chunked\r\n\r\n", Fault::kFraming},
      {"HTTP/1.1 101 OK\r\n\r\n", Fault::kSyntax},
      {"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", Fault::kFraming},
      {"HTTP/1.1 99 OK\r\n\r\n", Fault::kSyntax},
      {"HTTP/1.1 600 OK\r\n\r\n", Fault::kSyntax},
      {"HTTP/1.1 2000 OK\r\n\r\n", Fault::kSyntax},
      {"HTTP/1.1 abc OK\r\n\r\n", Fault::kSyntax},
      {"HTTP/1.1 200 OK\nx: 1\r\n\r\n", Fault::kSyntax},
      {"HTTP/1.1 200 OK\r\nx: 1\r\n folded\r\n\r\n", Fault::kSyntax},
      {"garbage\r\n\r\n", Fault::kSyntax},
      {"\x16\x03\x01\x02", Fault::kSyntax},
  };
  for (const auto& row : rows) {
    INFO(row.text);
    CHECK(fault_name(answer(row.text).reading.fault) == fault_name(row.fault));
    CHECK(fault_name(answer(row.text, "GET", 1).reading.fault) == fault_name(row.fault));
  }
}

}  // namespace
}  // namespace mesh::h1
