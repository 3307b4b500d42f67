#pragma once
// YAML text as a tree of values with line numbers. Built from yaml-cpp's events, because its own
// tree neither bounds aliases nor notices a key given twice.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mesh::manifest {

struct Value {
  enum class Type { kNull, kScalar, kList, kMap };

  Type type = Type::kNull;
  bool quoted = false;       // a scalar that is text whatever it looks like
  unsigned line = 0;         // from 1
  std::string text;          // kScalar
  std::vector<Value> items;  // kList; kMap: the values, in step with `keys`
  std::vector<std::string> keys;

  bool is_null() const { return type == Type::kNull; }
  // The value of a key of a map, or null.
  const Value* find(std::string_view key) const;
};

// find() that may be asked of nothing, and of what is no map: null.
const Value* member(const Value* map, std::string_view key);

struct YamlError {
  unsigned line = 0;
  std::string message;
};

struct YamlFile {
  // With errors: what can be told of each document that is not over at its metadata, up to what is
  // wrong in it. Good for nothing but to know what was meant.
  std::vector<Value> documents;
  std::vector<YamlError> errors;  // the first one
};

// Limits: those of parse.h.
YamlFile read_yaml(std::string_view text);

}  // namespace mesh::manifest
