#pragma once
// Value: a JSON value, as claims of a token and metadata of a request are looked at.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mesh::waypoint::http {

struct Value {
  enum class Kind : std::uint8_t { kNull, kBool, kNumber, kString, kList, kObject };
  Kind kind = Kind::kNull;
  bool boolean = false;
  double number = 0;
  std::string text = {};
  std::vector<Value> list = {};
  std::vector<std::pair<std::string, Value>> members = {};  // of an object; names are unique

  static Value of_text(std::string_view text);
  static Value of_number(double number);
  static Value of_bool(bool boolean);
  static Value of_list(std::vector<Value> list);
  static Value object(std::vector<std::pair<std::string, Value>> members);

  // Of an object. Null: no such member, or not an object.
  const Value* member(std::string_view name) const;
  // Member by member. Null: the path ends before.
  const Value* at(std::span<const std::string> path) const;

  friend bool operator==(const Value&, const Value&) = default;
};

}  // namespace mesh::waypoint::http
