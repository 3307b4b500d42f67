#include "cli/json.h"

#include <nlohmann/json.hpp>

namespace mesh::cli {

using Json = nlohmann::json;

namespace {

constexpr int kNestingMax = 64;

bool is_shallow(int depth, Json::parse_event_t, Json&) { return depth <= kNestingMax; }

}  // namespace

Json parse_json(std::string_view text) {
  Json parsed = Json::parse(text, is_shallow, /*allow_exceptions=*/false);
  return parsed.is_discarded() ? Json() : parsed;
}

const Json& member(const Json& object, const char* key) {
  static const Json kNothing;
  if (!object.is_object()) return kNothing;
  const auto found = object.find(key);
  return found == object.end() ? kNothing : *found;
}

std::string text_of(const Json& value) {
  if (value.is_null()) return "";
  return value.is_string() ? value.get<std::string>() : to_text(value);
}

std::string text(const Json& object, const char* key) { return text_of(member(object, key)); }

bool flag(const Json& object, const char* key, bool otherwise) {
  const Json& value = member(object, key);
  return value.is_boolean() ? value.get<bool>() : otherwise;
}

std::string to_text(const Json& value, int indent) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace mesh::cli
