#include "waypoint/health/message.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::waypoint::health {
namespace {

using namespace std::string_literals;

TEST_CASE("the question names a service, or nobody") {
  CHECK(encode_check("").empty());
  CHECK(encode_check("cart") == "\x0a\x04"s + "cart");
  CHECK(encode_check(std::string(200, 'a')) == "\x0a\xc8\x01"s + std::string(200, 'a'));
}

TEST_CASE("answers, and what is none") {
  const struct {
    std::string bytes;
    std::optional<Serving> answer;
  } rows[] = {
      {"", Serving::kUnknown},
      {"\x08\x01"s, Serving::kServing},
      {"\x08\x02"s, Serving::kNotServing},
      {"\x08\x03"s, Serving::kServiceUnknown},
      {"\x08\x00"s, Serving::kUnknown},
      {"\x08\x09"s, Serving::kUnknown},
      {"\x08\x02\x08\x01"s, Serving::kServing},    // the last one counts
      {"\x12\x02hi\x08\x01"s, Serving::kServing},  // a field of the future
      {"\x08\x81\x80\x80\x80\x80\x80\x80\x80\x80\x01"s, Serving::kUnknown},
      {"\x08"s, std::nullopt},
      {"\x08\x81"s, std::nullopt},
      {"\x08\x81\x81\x81\x81\x81\x81\x81\x81\x81\x81\x01"s, std::nullopt},
      {"\x00\x01"s, std::nullopt},
      {"\x12\x05hi"s, std::nullopt},
      {"\x0b\x08\x01"s, std::nullopt},  // a group
      {"\x0d\x01\x02"s, std::nullopt},
  };
  for (const auto& row : rows) {
    INFO(row.bytes.size());
    CHECK(decode_check_answer(row.bytes) == row.answer);
  }
  CHECK(decode_check_answer("\x12\xfc\x1f"s + std::string(4092, 'a') + "\x08\x01") == std::nullopt);
  CHECK(decode_check_answer("\x12\xfb\x1f"s + std::string(4091, 'a') + "\x08\x01") ==
        std::optional(Serving::kServing));
}

}  // namespace
}  // namespace mesh::waypoint::health
