#include "cli/template/functions.h"

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

using namespace mesh::cli::tmpl;
using Json = nlohmann::json;

namespace {

std::string result(const std::string& name, const Arguments& arguments) {
  const auto value = call(name, arguments);
  return value ? printed(*value) : "error " + value.error();
}

}  // namespace

TEST_CASE("The functions of templates") {
  CHECK(result("default", {"a", ""}) == "a");
  CHECK(result("default", {"a", "b"}) == "b");
  CHECK(result("quote", {"a\"b"}) == "\"a\\\"b\"");
  CHECK(result("quote", {3}) == "\"3\"");
  CHECK(result("nindent", {2, "a\nb"}) == "\n  a\n  b");
  CHECK(result("printf", {"%s-%v%%%q", "a", 1, "b"}) == "a-1%\"b\"");
  CHECK(result("printf", {"%s"}) == "error printf: an argument is missing");
  CHECK(result("printf", {"a", 1}) == "error printf: too many arguments");
  CHECK(result("printf", {"%x", 1}) == "error printf: a verb that is not known");
  CHECK(result("add", {30, 5}) == "35");
  CHECK(result("add", {INT64_MAX, 1}) == "error add: too large");
  CHECK(result("toJson", {Json{{"b", 1}, {"a", {"x"}}}}) == R"({"a":["x"],"b":1})");
  CHECK(result("fromYaml", {"a: [1, on]"}) == R"({"a":[1,true]})");
  CHECK(result("required", {"say it", Json()}) == "error say it");
  CHECK(result("fail", {"no"}) == "error no");
  CHECK(result("or", {"", "b", "c"}) == "b");
  CHECK(result("dict", {"a"}) == "error dict: a value is missing");
  CHECK(result("lookup", {}) == "error function \"lookup\" is not known here");
  CHECK(result("trim", {}) == "error trim: 0 arguments");
}
