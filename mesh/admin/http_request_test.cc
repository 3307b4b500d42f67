#include "mesh/admin/http_request.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

namespace mesh::admin {
namespace {

TEST_CASE("a request is taken apart") {
  const Parsed parsed = parse_request(
      "POST /logging?level=access%3Ddebug&x=1 HTTP/1.1\r\nHost: a\r\nACCEPT:  text/plain \r\n"
      "Content-Length: 3\r\n\r\nabc");
  REQUIRE(parsed.result == ParseResult::kDone);
  CHECK(parsed.request.method == "POST");
  CHECK(parsed.request.path == "/logging");
  CHECK(parsed.request.query == "level=access%3Ddebug&x=1");
  CHECK(parsed.request.parameter("level") == "access=debug");
  CHECK(parsed.request.parameter("nope") == std::nullopt);
  CHECK(parsed.request.header("accept") == "text/plain");
  CHECK(parsed.request.body_bytes == 3);
}

TEST_CASE("a request that is not complete asks for more") {
  const std::string whole = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  for (std::size_t i = 0; i < whole.size(); ++i) {
    CHECK(parse_request(whole.substr(0, i)).result == ParseResult::kMore);
  }
  CHECK(parse_request(whole).result == ParseResult::kDone);
}

TEST_CASE("what is ambiguous or beyond a limit is refused") {
  struct Row {
    std::string what;
    std::string request;
    int status;
  };
  const std::string host = "Host: a\r\n";
  const auto row = GENERATE_COPY(values<Row>({
      {"no host", "GET / HTTP/1.1\r\n\r\n", 400},
      {"two hosts", "GET / HTTP/1.1\r\n" + host + host + "\r\n", 400},
      {"no version", "GET /\r\n" + host + "\r\n", 400},
      {"HTTP/2.0", "GET / HTTP/2.0\r\n" + host + "\r\n", 505},
      {"absolute form", "GET http://a/ HTTP/1.1\r\n" + host + "\r\n", 400},
      {"space in the target", "GET /a b HTTP/1.1\r\n" + host + "\r\n", 400},
      {"a line that ends in LF", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400},
      {"space before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400},
      {"folded header", "GET / HTTP/1.1\r\n" + host + " b\r\n\r\n", 400},
      {"chunked", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n", 501},
      {"two lengths",
       "POST / HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400},
      {"a negative length", "POST / HTTP/1.1\r\n" + host + "Content-Length: -1\r\n\r\n", 400},
      {"a body too long", "POST / HTTP/1.1\r\n" + host + "Content-Length: 4097\r\n\r\n", 413},
      {"an endless body",
       "POST / HTTP/1.1\r\n" + host + "Content-Length: 99999999999999999999\r\n\r\n", 413},
      {"a target too long", "GET /" + std::string(3000, 'a') + " HTTP/1.1\r\n" + host + "\r\n",
       414},
      {"a head too long", std::string(kHeadBytesMax, 'a'), 431},
      {"control character", "GET / HTTP/1.1\r\nHost: a\x01\r\n\r\n", 400},
      {"TLS", std::string("\x16\x03\x01\x02\x00\x01\r\n\r\n", 10), 400},
  }));
  INFO(row.what);
  const Parsed parsed = parse_request(row.request);
  CHECK(parsed.result == ParseResult::kBad);
  CHECK(parsed.status == row.status);
}

TEST_CASE("limit: 64 headers are fine, 65 are not") {
  std::string request = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (std::size_t i = 1; i < kHeadersMax; ++i) request += "A: b\r\n";
  CHECK(parse_request(request + "\r\n").result == ParseResult::kDone);
  CHECK(parse_request(request + "A: b\r\n\r\n").status == 431);
}

TEST_CASE("a parameter that is repeated or badly encoded counts as absent") {
  for (const char* query : {"level=a&level=b", "level=%", "level=%zz", "level"}) {
    const Parsed parsed =
        parse_request("GET /?" + std::string(query) + " HTTP/1.1\r\nHost: a\r\n\r\n");
    REQUIRE(parsed.result == ParseResult::kDone);
    CHECK(parsed.request.parameter("level") == std::nullopt);
  }
}

}  // namespace
}  // namespace mesh::admin
