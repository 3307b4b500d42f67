#include "mesh/h2/header_block.h"

#include <string>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

namespace mesh::h2 {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kPreface = 24;

std::string frame(char type, char flags, std::size_t payload) {
  std::string text{'\0', static_cast<char>(payload >> 8), static_cast<char>(payload), type, flags};
  return text + std::string("\0\0\0\x01", 4) + std::string(payload, 'p');
}

TEST_CASE("a header block is open from its HEADERS to the last byte of what ends it") {
  const std::string data = frame(0, 1, 300);
  struct Row {
    const char* what;
    std::string said;
    bool open;
  };
  const auto row = GENERATE_REF(values<Row>(
      {{"nothing", "", false},
       {"DATA, whole or not", data.substr(0, 200), false},
       {"HEADERS that end", frame(1, 4, 20), false},
       {"HEADERS that end and are empty", frame(1, 5, 0), false},
       {"HEADERS that lack a byte", frame(1, 4, 20).substr(0, 28), true},
       {"HEADERS that do not end", frame(1, 1, 20), true},
       {"HEADERS that do not end and are empty", frame(1, 0, 0), true},
       {"CONTINUATION that does not end", frame(1, 0, 20) + frame(9, 0, 20), true},
       {"CONTINUATION that lacks a byte", frame(1, 0, 20) + frame(9, 4, 20).substr(0, 28), true},
       {"CONTINUATION that ends", frame(1, 0, 20) + frame(9, 4, 20), false},
       {"an empty one that ends", frame(1, 0, 20) + frame(9, 4, 0), false},
       {"PING in between, a fault", frame(1, 0, 20) + frame(6, 0, 8), false},
       {"another block after the first", frame(1, 4, 20) + data + frame(1, 0, 20), true}}));
  INFO(row.what);
  const std::string all = std::string(kPreface, 'P') + row.said;
  for (std::size_t step : {std::size_t{1}, std::size_t{7}, all.size()}) {
    HeaderBlock block(kPreface);
    for (std::size_t at = 0; at < all.size(); at += step) {
      block.saw(std::as_bytes(std::span(all)).subspan(at, std::min(step, all.size() - at)),
                io::TimePoint(1s));
    }
    CHECK(block.open_since().has_value() == row.open);
  }
}

TEST_CASE("its time begins with it, and only with it") {
  HeaderBlock block(0);
  const auto saw = [&](const std::string& said, io::TimePoint now) {
    block.saw(std::as_bytes(std::span(said)), now);
    return block.open_since();
  };
  CHECK(saw(frame(1, 0, 20), io::TimePoint(1s)) == io::TimePoint(1s));
  CHECK(saw(frame(9, 0, 20), io::TimePoint(2s)) == io::TimePoint(1s));
  CHECK(saw(frame(9, 4, 20) + frame(1, 0, 20), io::TimePoint(3s)) == io::TimePoint(3s));
}

}  // namespace
}  // namespace mesh::h2
