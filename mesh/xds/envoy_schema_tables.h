#pragma once
// The tables behind envoy_schema.h, and how to find something in them.

#include <cstdint>
#include <string>
#include <string_view>

namespace mesh::xds {

enum class Kind : std::uint8_t {
  kDouble,
  kFloat,
  kInt64,
  kUint64,
  kInt32,
  kUint32,
  kBool,
  kString,
  kBytes,
  kMessage,
  kEnum
};

struct FieldRow {
  std::uint32_t number;
  std::string_view json_name;
  Kind kind;
  bool repeated;  // a map too
  int of;         // kMessage: its message; kEnum: its enum
};

struct MessageRow {
  std::string_view name;
  std::uint32_t first;
  std::uint32_t fields;
  bool is_map_entry;
};

struct AnyParts {
  std::string_view type_url;
  std::string_view value;
};

// In order of their names. google.protobuf's types are called weft.wire here, and found by either
// name.
const MessageRow* find_message(std::string_view name);
const MessageRow& message_at(const FieldRow& field);
const FieldRow* first_field(const MessageRow& message);
const FieldRow* find_field(const MessageRow& message, std::uint32_t number);
// Empty: the enum has no such value.
std::string_view enum_name(const FieldRow& field, std::int64_t value);
// False: `bytes` are no Any.
bool read_any(std::string_view bytes, AnyParts& any);

}  // namespace mesh::xds
