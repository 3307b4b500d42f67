#include "mesh/xds/wire_reader.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

namespace mesh::xds {
namespace {

using namespace std::string_literals;

// "1=150 2=abc", and "!" at the end if the rest is malformed.
std::string fields(const std::string& bytes) {
  WireReader reader(bytes);
  std::string text;
  WireField field;
  while (reader.next(field)) {
    text +=
        std::to_string(field.number) + "=" +
        (field.type == WireType::kBytes ? std::string(field.bytes) : std::to_string(field.value)) +
        " ";
  }
  return reader.malformed() ? text + "!" : text;
}

TEST_CASE("the wire format, field by field") {
  struct Row {
    std::string bytes;
    std::string expected;
  };
  const auto row = GENERATE(values<Row>({
      {"", ""},
      {"\x08\x96\x01"s, "1=150 "},
      {"\x12\x03"s + "abc", "2=abc "},
      {"\x12\x00"s, "2= "},
      {"\x0d\x01\x00\x00\x00"s, "1=1 "},
      {"\x09\x01\x00\x00\x00\x00\x00\x00\x00"s, "1=1 "},
      {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"s, "1=18446744073709551615 "},
      {"\xf8\xff\xff\xff\x0f\x01"s, "536870911=1 "},
      // malformed: nothing after it is read
      {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"s, "!"},
      {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"s, "!"},
      {"\x08"s, "!"},
      {"\x08\x80"s, "!"},
      {"\x12\x04"s + "abc", "!"},
      {"\x0d\x01\x00\x00"s, "!"},
      {"\x00\x01"s, "!"},
      {"\x0b\x0c"s, "!"},
      {"\x0e\x01"s, "!"},
      {"\x08\x01\x0b\x08\x02"s, "1=1 !"},
  }));
  CHECK(fields(row.bytes) == row.expected);
}

TEST_CASE("text is UTF-8") {
  FieldDecoder decoder;
  std::string to;
  CHECK(decoder.text({.type = WireType::kBytes, .bytes = "a\xc3\xa9"}, to));
  CHECK(to == "a\xc3\xa9");
  CHECK_FALSE(decoder.text({.type = WireType::kBytes, .bytes = "a\xc3"}, to));
}

TEST_CASE("repeated numbers come packed or one by one") {
  FieldDecoder decoder;
  std::vector<std::uint32_t> to;
  CHECK(decoder.numbers({.type = WireType::kBytes, .bytes = "\x01\xac\x02"}, to, 4));
  CHECK(decoder.numbers({.type = WireType::kVarint, .value = 7}, to, 4));
  CHECK(to == std::vector<std::uint32_t>{1, 300, 7});
  CHECK_FALSE(decoder.numbers({.type = WireType::kVarint, .value = 1ULL << 32}, to, 4));
  CHECK_FALSE(decoder.numbers({.type = WireType::kBytes, .bytes = "\x80"}, to, 4));
  CHECK_FALSE(decoder.numbers({.type = WireType::kBytes, .bytes = "\x01\x01"}, to, 4));
  CHECK(decoder.what() == "more than 4");
}

}  // namespace
}  // namespace mesh::xds
