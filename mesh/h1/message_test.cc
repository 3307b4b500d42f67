#include "mesh/h1/message.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::h1 {
namespace {

TEST_CASE("heads as they are sent") {
  std::string request;
  append_request(request, "GET", "/a", "cart", {{"x", "1"}}, {.chunked = true});
  CHECK(request == "GET /a HTTP/1.1\r\nhost: cart\r\nx: 1\r\ntransfer-encoding: chunked\r\n\r\n");
  std::string upgrade;
  append_request(upgrade, "GET", "/", "a", {}, {.upgrade = "websocket"});
  CHECK(upgrade ==
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
  std::string response;
  append_response(response, 404, {{"content-length", "0"}}, {.close = true});
  CHECK(response == "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
}

TEST_CASE("chunks as they are sent") {
  char line[24];
  CHECK(chunk_line(26, line) == "1a\r\n");
  std::string last;
  append_last_chunk(last, {{"x-sum", "9"}});
  CHECK(last == "0\r\nx-sum: 9\r\n\r\n");
}

TEST_CASE("a header that would split a message is not sendable") {
  CHECK(is_sendable({{"x", "1"}, {"y", ""}}));
  CHECK_FALSE(is_sendable({{"x", "1\r\nhost: b"}}));
  CHECK_FALSE(is_sendable({{"x", "1\n"}}));
  CHECK_FALSE(is_sendable({{"x", std::string("\0", 1)}}));
  CHECK_FALSE(is_sendable({{"x: 1\r\ny", "2"}}));
  CHECK_FALSE(is_sendable({{"", "2"}}));
}

}  // namespace
}  // namespace mesh::h1
