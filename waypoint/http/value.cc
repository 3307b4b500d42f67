#include "waypoint/http/value.h"

#include <algorithm>

namespace mesh::waypoint::http {

Value Value::of_text(std::string_view text) {
  return {.kind = Kind::kString, .text = std::string(text)};
}

Value Value::of_number(double number) { return {.kind = Kind::kNumber, .number = number}; }

Value Value::of_bool(bool boolean) { return {.kind = Kind::kBool, .boolean = boolean}; }

Value Value::of_list(std::vector<Value> list) {
  return {.kind = Kind::kList, .list = std::move(list)};
}

Value Value::object(std::vector<std::pair<std::string, Value>> members) {
  return {.kind = Kind::kObject, .members = std::move(members)};
}

const Value* Value::member(std::string_view name) const {
  if (kind != Kind::kObject) return nullptr;
  const auto found = std::ranges::find(
      members, name, [](const auto& entry) { return std::string_view(entry.first); });
  return found == members.end() ? nullptr : &found->second;
}

const Value* Value::at(std::span<const std::string> path) const {
  const Value* value = this;
  for (const std::string& name : path) {
    value = value->member(name);
    if (value == nullptr) return nullptr;
  }
  return value;
}

}  // namespace mesh::waypoint::http
