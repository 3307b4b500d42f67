#include "cli/template/schema.h"

#include <re2/re2.h>
#include <nlohmann/json.hpp>

#include "cli/json.h"

namespace mesh::cli {

using Json = nlohmann::json;

namespace {

bool has_type(const Json& value, const std::string& type) {
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_boolean();
  if (type == "integer") return value.is_number_integer();
  return type == "number" && value.is_number();
}

class Checker {
 public:
  std::vector<std::string> problems;

  void check(const Json& schema, const Json& value, const std::string& path) {
    for (const auto& [word, rule] : schema.items()) {
      if (word == "$schema" || word == "title" || word == "description") continue;
      if (word == "type") {
        if (!has_type(value, text_of(rule))) say(path, "must be of type " + text_of(rule));
      } else if (word == "enum") {
        if (std::find(rule.begin(), rule.end(), value) == rule.end()) {
          say(path, "must be one of " + to_text(rule));
        }
      } else if (word == "const") {
        if (value != rule) say(path, "must be " + to_text(rule));
      } else if (word == "not") {
        Checker inner;
        inner.check(rule, value, path);
        if (inner.problems.empty()) say(path, "must not be " + to_text(value));
      } else if (word == "properties" || word == "additionalProperties") {
        if (word == "properties") members(schema, value, path);
      } else if (word == "items") {
        for (std::size_t i = 0; value.is_array() && i < value.size(); ++i) {
          check(rule, value[i], path + "[" + std::to_string(i) + "]");
        }
      } else if (!limit(word, rule, value, path)) {
        say(path, "the schema's \"" + word + "\" is not known here");
      }
    }
    if (!schema.contains("properties") && schema.contains("additionalProperties")) {
      members(schema, value, path);
    }
  }

 private:
  void say(const std::string& path, const std::string& what) {
    problems.push_back((path.empty() ? "the values" : path) + ": " + what);
  }

  void members(const Json& schema, const Json& value, const std::string& path) {
    if (!value.is_object()) return;
    const Json& known = member(schema, "properties");
    const Json& others = member(schema, "additionalProperties");
    for (const auto& [key, inner] : value.items()) {
      const std::string place = path.empty() ? key : path + "." + key;
      if (known.is_object() && known.contains(key)) {
        check(known.at(key), inner, place);
      } else if (others.is_object()) {
        check(others, inner, place);
      } else if (others.is_boolean() && !others.get<bool>()) {
        say(place, "there is no such value");
      }
    }
  }

  // False: the word is none of these.
  bool limit(const std::string& word, const Json& rule, const Json& value,
             const std::string& path) {
    if (word == "minimum") {
      if (value.is_number() && value < rule) say(path, "must be " + to_text(rule) + " or more");
    } else if (word == "maximum") {
      if (value.is_number() && value > rule) say(path, "must be " + to_text(rule) + " or less");
    } else if (word == "minLength") {
      if (value.is_string() && value.get_ref<const std::string&>().size() < rule) {
        say(path, "must not be empty");
      }
    } else if (word == "pattern") {
      const RE2 pattern(text_of(rule), RE2::Quiet);
      const bool matches = pattern.ok() && value.is_string() &&
                           RE2::PartialMatch(value.get_ref<const std::string&>(), pattern);
      if (!matches) say(path, "must match " + text_of(rule));
    } else {
      return false;
    }
    return true;
  }
};

}  // namespace

std::vector<std::string> schema_problems(const Json& schema, const Json& value) {
  Checker checker;
  checker.check(schema, value, "");
  return std::move(checker.problems);
}

}  // namespace mesh::cli
