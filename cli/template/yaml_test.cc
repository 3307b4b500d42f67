#include "cli/template/yaml.h"

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

using namespace mesh::cli;
using Json = nlohmann::json;

namespace {

Json read(std::string_view text) {
  const auto documents = read_yaml(text);
  return documents && documents->size() == 1 ? documents->front() : Json("not one document");
}

}  // namespace

TEST_CASE("Plain scalars are read as Kubernetes' tools read them") {
  CHECK(read("[1, -2, 1.5, 1e3, true, yes, off, null, ~, text, 1.2.3, 007, 0]") ==
        Json({1, -2, 1.5, 1000.0, true, true, false, nullptr, nullptr, "text", "1.2.3", "007", 0}));
  CHECK(read("[\"1\", 'true', \"\"]") == Json({"1", "true", ""}));
}

TEST_CASE("What is written is read as the same") {
  const Json values[] = {
      Json{{"b", {1, "2", true, "true", nullptr, "null", "", " x", "x ", "a: b", "a #b", "#", "-"}},
           {"a", {{"c", Json::object()}, {"d", Json::array()}, {"yes", "no"}}}},
      Json{{"text", "one\n  two\n\nthree\n"},
           {"open", "one\ntwo"},
           {"odd", "a\n\n"},
           {"tab", "a\tb"}},
      Json{{{"name", "x"}, {"list", {{{"deep", {1, 2}}}, {"y"}}}}, "z"},
      Json{{"k", {{"- a", ":b"}, {"12:30", "12:30"}, {"0x1f", "2020-01-01"}, {"é", "ü"}}}},
      Json("alone"),
      Json{{"a", {{1, 2}, {3}}}},
  };
  for (const Json& value : values) {
    CAPTURE(to_yaml(value));
    CHECK(read(to_yaml(value) + "\n") == value);
  }
}

TEST_CASE("It is written as people write it") {
  CHECK(to_yaml(Json{{"spec", {{"ports", {{{"port", 80}, {"name", "http"}}}}, {"on", true}}}}) ==
        "spec:\n  \"on\": true\n  ports:\n  - name: http\n    port: 80");
  CHECK(to_yaml(Json{{"a", "x\ny\n"}}) == "a: |\n  x\n  y");
}

TEST_CASE("What is no YAML says where") {
  const auto broken = read_yaml("a: b\nc: [");
  REQUIRE_FALSE(broken);
  CHECK(broken.error().find(": ") != std::string::npos);
}
