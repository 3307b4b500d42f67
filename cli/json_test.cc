#include "cli/json.h"

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

namespace mesh::cli {

using Json = nlohmann::json;

TEST_CASE("members of any shape can be asked for") {
  const Json object = parse_json(R"({"name":"a","ok":true,"count":3,"none":null,"list":[1]})");
  CHECK(text(object, "name") == "a");
  CHECK(text(object, "count") == "3");
  CHECK(text(object, "none").empty());
  CHECK(text(object, "absent").empty());
  CHECK(text(object, "list") == "[1]");
  CHECK(flag(object, "ok"));
  CHECK_FALSE(flag(object, "count"));
  CHECK(flag(object, "name", true));
  for (const char* other : {"[1]", "7", "\"ok\"", "null", "{", ""}) {
    INFO(other);
    CHECK(member(parse_json(other), "ok").is_null());
  }
}

TEST_CASE("JSON of any depth can be read and written") {
  const Json deep = parse_json(std::string(1'000'000, '[') + std::string(1'000'000, ']'));
  CHECK(to_text(deep).size() <= 2 * 64 + 2);
}

TEST_CASE("text that is not UTF-8 is written all the same") {
  CHECK(to_text(Json{{"folder", "/tmp/\xff"}}) == "{\"folder\":\"/tmp/\xef\xbf\xbd\"}");
}

}  // namespace mesh::cli
