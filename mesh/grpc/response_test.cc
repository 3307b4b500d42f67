#include "mesh/grpc/response.h"

#include <vector>

#include <catch2/catch_test_macros.hpp>

namespace mesh::grpc {
namespace {

using Block = std::vector<HeaderView>;
const Block kHeaders = {{":status", "200"}, {"content-type", "application/grpc"}};

std::optional<std::string> feed(ResponseReader& reader, std::string_view text) {
  std::span<const std::byte> bytes = std::as_bytes(std::span(text.data(), text.size()));
  auto message = reader.feed(bytes);
  CHECK(bytes.empty());
  return message ? *message : std::nullopt;
}

TEST_CASE("headers, a message, trailers") {
  ResponseReader reader(100);
  reader.on_headers(kHeaders, false);
  CHECK(feed(reader, frame_message("hello")) == "hello");
  CHECK(!reader.ended());
  reader.on_headers(Block{{"grpc-status", "0"}}, true);
  REQUIRE(reader.ended());
  CHECK(reader.status().ok());
}

TEST_CASE("trailers only: a refusal in one block") {
  ResponseReader reader(100);
  reader.on_headers(Block{{":status", "200"},
                          {"content-type", "application/grpc"},
                          {"grpc-status", "16"},
                          {"grpc-message", "who are you"}},
                    true);
  REQUIRE(reader.ended());
  CHECK(reader.status() == Status{StatusCode::kUnauthenticated, "who are you"});
}

TEST_CASE("what is not gRPC ends the call and its body is dropped") {
  ResponseReader reader(100);
  reader.on_headers(Block{{":status", "503"}, {"content-type", "text/html"}}, false);
  REQUIRE(reader.ended());
  CHECK(reader.status().code == StatusCode::kUnavailable);
  CHECK(!feed(reader, "<html>"));

  ResponseReader web(100);
  web.on_headers(Block{{":status", "200"}, {"content-type", "application/grpc-web"}}, false);
  CHECK(web.ended());
}

TEST_CASE("a compressed response is refused before its first message") {
  ResponseReader reader(100);
  Block block = kHeaders;
  block.push_back({"grpc-encoding", "gzip"});
  reader.on_headers(block, false);
  REQUIRE(reader.ended());
  CHECK(reader.status().code == StatusCode::kInternal);
}

TEST_CASE("an end without trailers, or inside a message, is not a success") {
  ResponseReader reader(100);
  reader.on_headers(kHeaders, false);
  reader.on_end();
  CHECK(reader.status().code == StatusCode::kInternal);

  ResponseReader truncated(100);
  truncated.on_headers(kHeaders, false);
  CHECK(!feed(truncated, frame_message("hello").substr(0, 7)));
  truncated.on_headers(Block{{"grpc-status", "0"}}, true);
  CHECK(truncated.status().code == StatusCode::kInternal);
}

TEST_CASE("a message beyond the limit ends the call with the reason") {
  ResponseReader reader(4);
  reader.on_headers(kHeaders, false);
  std::string wire = frame_message("12345");
  std::span<const std::byte> bytes = std::as_bytes(std::span(wire.data(), wire.size()));
  CHECK(!reader.feed(bytes));
  REQUIRE(reader.ended());
  CHECK(reader.status().code == StatusCode::kResourceExhausted);
}

TEST_CASE("a reset, and a lost connection") {
  ResponseReader reset(100);
  reset.on_headers(kHeaders, false);
  reset.on_reset(8);
  CHECK(reset.status().code == StatusCode::kCancelled);

  ResponseReader lost(100);
  lost.on_lost({.reason = Reason::kTimedOut, .during = "keepalive"});
  CHECK(lost.status() == Status{StatusCode::kUnavailable, "timed_out during keepalive"});
  lost.on_reset(0);
  CHECK(lost.status().code == StatusCode::kUnavailable);
}

}  // namespace
}  // namespace mesh::grpc
