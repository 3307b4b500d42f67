#include "cli/kubernetes/websocket.h"

#include <catch2/catch_test_macros.hpp>

using namespace mesh::cli;

namespace {

// A frame as servers send it: without a mask.
std::string frame(char opcode, const std::string& payload) {
  std::string text(1, static_cast<char>(0x80 | opcode));
  if (payload.size() < 126) {
    text += static_cast<char>(payload.size());
  } else {
    text += {126, static_cast<char>(payload.size() >> 8), static_cast<char>(payload.size())};
  }
  return text + payload;
}

std::string answer(const std::string& bytes, bool ended = false) {
  const auto read = read_answer(bytes, ended);
  if (!read) return "error: " + read.error();
  return *read ? std::to_string((*read)->status) + " " + (*read)->body : "more";
}

}  // namespace

TEST_CASE("Frames of a client are masked") {
  CHECK(websocket_frame("ab", 0x01020304) == std::string("\x82\x82\x01\x02\x03\x04") + "\x60\x60");
  CHECK(websocket_frame(std::string(300, 'x'), 0).substr(0, 4) == std::string("\x82\xfe\x01\x2c"));
  CHECK(websocket_frame(std::string(70000, 'x'), 0).size() == 70000 + 14);
}

TEST_CASE("Frames of a server come whole, whatever the pieces") {
  const std::string bytes = frame(2, "one") + frame(2, std::string(300, 'x')) + frame(8, "");
  FrameReader reader;
  std::vector<std::size_t> sizes;
  for (const char c : bytes) {
    reader.feed(std::string_view(&c, 1));
    const auto next = reader.next();
    REQUIRE(next);
    if (*next) sizes.push_back((*next)->payload.size());
  }
  CHECK(sizes == std::vector<std::size_t>{3, 300, 0});
  FrameReader masked;
  masked.feed(websocket_frame("x", 1));
  CHECK_FALSE(masked.next());
  FrameReader huge;
  huge.feed(std::string("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"));
  CHECK_FALSE(huge.next());
}

TEST_CASE("A port's stream begins behind its number, and its complaints are errors") {
  ForwardedPort port;
  CHECK(port.take(std::string("\0\x98", 2)));
  CHECK(port.take(std::string("\1\x98\x3a", 3)));
  CHECK(port.take(std::string("\0\x3aHT", 4)));
  CHECK(port.take(std::string("\0TP", 3)));
  CHECK(port.received() == "HTTP");
  CHECK(port.take("\1connection refused").error() == "connection refused");
  CHECK_FALSE(port.take("\7x"));
}

TEST_CASE("Answers by length, in chunks, and until the end") {
  CHECK(answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab") == "200 ab");
  CHECK(answer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab") == "more");
  CHECK(answer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", true).starts_with("error"));
  CHECK(answer(
            "HTTP/1.1 404 N\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n") ==
        "404 abc");
  CHECK(answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab") == "more");
  CHECK(answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n").starts_with("error"));
  CHECK(answer("HTTP/1.0 200 OK\r\n\r\nab") == "more");
  CHECK(answer("HTTP/1.0 200 OK\r\n\r\nab", true) == "200 ab");
  CHECK(answer("SSH-2.0\r\n\r\n").starts_with("error"));
  CHECK(answer("", true).starts_with("error"));
}
