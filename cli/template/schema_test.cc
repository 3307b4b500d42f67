#include "cli/template/schema.h"

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

using namespace mesh::cli;
using Json = nlohmann::json;

namespace {

std::string problems(const char* schema, const Json& value) {
  std::string all;
  for (const std::string& one : schema_problems(Json::parse(schema), value)) all += one + "|";
  return all;
}

}  // namespace

TEST_CASE("Values that do not fit are named") {
  constexpr const char* kSchema = R"({
    "type": "object", "additionalProperties": false,
    "properties": {
      "n": {"type": "integer", "minimum": 1, "maximum": 9},
      "s": {"type": "string", "pattern": "^a", "minLength": 1},
      "e": {"enum": ["x", "y"]},
      "l": {"type": "array", "items": {"type": "boolean"}},
      "o": {"type": "object", "additionalProperties": {"type": "string"}},
      "no": {"not": {"const": "none"}}
    }})";
  CHECK(problems(kSchema, {{"n", 3}, {"s", "ab"}, {"e", "x"}, {"l", {true}}, {"o", {{"k", "v"}}}})
            .empty());
  CHECK(problems(kSchema, {{"n", 0}}) == "n: must be 1 or more|");
  CHECK(problems(kSchema, {{"n", 10}}) == "n: must be 9 or less|");
  CHECK(problems(kSchema, {{"n", "3"}}) == "n: must be of type integer|");
  CHECK(problems(kSchema, {{"n", 1.5}}) == "n: must be of type integer|");
  CHECK(problems(kSchema, {{"s", "b"}}) == "s: must match ^a|");
  CHECK(problems(kSchema, {{"e", "z"}}) == "e: must be one of [\"x\",\"y\"]|");
  CHECK(problems(kSchema, {{"l", {true, 1}}}) == "l[1]: must be of type boolean|");
  CHECK(problems(kSchema, {{"o", {{"k", 1}}}}) == "o.k: must be of type string|");
  CHECK(problems(kSchema, {{"no", "none"}}) == "no: must not be \"none\"|");
  CHECK(problems(kSchema, {{"slip", 1}}) == "slip: there is no such value|");
  CHECK(problems(kSchema, Json::array()) == "the values: must be of type object|");
}

TEST_CASE("A keyword that is not known is not passed over") {
  CHECK(problems(R"({"oneOf": []})", 1) == "the values: the schema's \"oneOf\" is not known here|");
}
