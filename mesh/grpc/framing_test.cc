#include "mesh/grpc/framing.h"

#include <vector>

#include <catch2/catch_test_macros.hpp>

namespace mesh::grpc {
namespace {

std::span<const std::byte> bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// Everything that comes out when `wire` arrives in pieces of `step` bytes.
Result<std::vector<std::string>> read_all(MessageReader& reader, std::string_view wire,
                                          std::size_t step) {
  std::vector<std::string> messages;
  for (std::size_t at = 0; at < wire.size(); at += step) {
    std::span<const std::byte> piece = bytes(wire.substr(at, step));
    for (;;) {
      TRY(auto message, reader.feed(piece));
      if (message) messages.push_back(*std::move(message));
      if (!message || (piece.empty() && reader.at_boundary())) break;
    }
  }
  return messages;
}

TEST_CASE("a frame is a zero byte, the length in four, and the message") {
  CHECK(frame_message("ab") == std::string("\0\0\0\0\2ab", 7));
  CHECK(frame_message("") == std::string("\0\0\0\0\0", 5));
}

TEST_CASE("messages come out whole however the bytes arrive") {
  const std::string wire = frame_message("one") + frame_message("") + frame_message("three");
  for (std::size_t step = 1; step <= wire.size(); ++step) {
    INFO("pieces of " << step);
    MessageReader reader;
    const auto messages = read_all(reader, wire, step);
    REQUIRE(messages);
    CHECK(*messages == std::vector<std::string>{"one", "", "three"});
    CHECK(reader.at_boundary());
  }
}

TEST_CASE("a stream that ends inside a message is seen") {
  MessageReader reader;
  const std::string wire = frame_message("one");
  REQUIRE(read_all(reader, std::string_view(wire).substr(0, 6), 6));
  CHECK(!reader.at_boundary());
}

TEST_CASE("a message above the limit is refused at its prefix") {
  MessageReader reader(4);
  const auto fits = read_all(reader, frame_message("four"), 100);
  REQUIRE(fits);
  const auto over = read_all(reader, frame_message("five!").substr(0, 5), 100);
  REQUIRE(!over);
  CHECK(over.error().reason == Reason::kTooLarge);
}

TEST_CASE("a length that is only announced takes no memory") {
  MessageReader reader;
  REQUIRE(read_all(reader,
                   std::string_view("\0\x0c\x00\x00\x00"
                                    "ab",
                                    7),
                   7));
  CHECK(reader.held() == 2);
}

TEST_CASE("a compressed message is refused") {
  MessageReader reader;
  const auto result = read_all(reader, std::string_view("\1\0\0\0\1x", 6), 6);
  REQUIRE(!result);
  CHECK(result.error().reason == Reason::kMalformed);
}

}  // namespace
}  // namespace mesh::grpc
