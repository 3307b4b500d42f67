// The wire format of exported spans, read by the rules of protobuf.

#include "waypoint/tracing/otlp.h"

#include <catch2/catch_test_macros.hpp>
#include <map>

namespace mesh::waypoint::tracing {
namespace {

// Fields of a message, in order: numbers as decimal text.
std::multimap<unsigned, std::string> fields(std::string_view bytes) {
  std::multimap<unsigned, std::string> found;
  const auto varint = [&] {
    std::uint64_t value = 0;
    for (unsigned shift = 0; !bytes.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes[0]);
      bytes.remove_prefix(1);
      value |= std::uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) break;
    }
    return value;
  };
  while (!bytes.empty()) {
    const std::uint64_t tag = varint();
    const auto number = static_cast<unsigned>(tag >> 3);
    std::size_t size = 8;
    if ((tag & 7) == 0) {
      found.emplace(number, std::to_string(varint()));
      continue;
    }
    if ((tag & 7) == 2) size = varint();
    REQUIRE(size <= bytes.size());
    found.emplace(number, bytes.substr(0, size));
    bytes.remove_prefix(size);
  }
  return found;
}

std::string first(std::string_view bytes, std::initializer_list<unsigned> path) {
  std::string at(bytes);
  for (const unsigned number : path) {
    const auto all = fields(at);
    const auto found = all.find(number);
    REQUIRE(found != all.end());
    at = found->second;
  }
  return at;
}

TEST_CASE("a span is written as collectors read it") {
  FinishedSpan span{
      .span = {.trace = {.high = 0x0102030405060708, .low = 9}, .id = 10, .parent = 11},
      .name = "web.shop:80/*",
      .begun_ns = 1'000,
      .ended_ns = 2'000,
      .state = "a=b",
      .failed = true,
      .texts = {{"http.method", "GET"}},
      .numbers = {{"http.status_code", 503}}};
  const std::vector<FinishedSpan> spans = {span, span};
  const std::string request = encode_request(spans, "waypoint.shop", "waypoint-0");
  CHECK(first(request, {1, 1, 1, 1}) == "service.name");
  CHECK(first(request, {1, 1, 1, 2, 1}) == "waypoint.shop");
  CHECK(first(request, {1, 2, 1, 1}) == "weft-waypoint");
  const std::string scoped = first(request, {1, 2});
  CHECK(fields(scoped).count(2) == 2);
  const std::string written = first(scoped, {2});
  CHECK(first(written, {1}) == std::string("\1\2\3\4\5\6\7\10\0\0\0\0\0\0\0\11", 16));
  CHECK(first(written, {2}) == std::string("\0\0\0\0\0\0\0\12", 8));
  CHECK(first(written, {3}) == "a=b");
  CHECK(first(written, {4}) == std::string("\0\0\0\0\0\0\0\13", 8));
  CHECK(first(written, {5}) == "web.shop:80/*");
  CHECK(first(written, {6}) == "2");
  CHECK(first(written, {7}) == std::string("\xe8\x03\0\0\0\0\0\0", 8));
  CHECK(first(written, {8}) == std::string("\xd0\x07\0\0\0\0\0\0", 8));
  CHECK(fields(written).count(9) == 2);
  CHECK(first(written, {9, 1}) == "http.method");
  CHECK(first(written, {9, 2, 1}) == "GET");
  CHECK(first(written, {15, 3}) == "2");
  span.failed = false;
  CHECK(fields(first(encode_request({&span, 1}, "", ""), {1, 2, 2})).count(15) == 0);
}

}  // namespace
}  // namespace mesh::waypoint::tracing
