#include "mesh/xds/envoy_schema.h"

#include <algorithm>
#include <cstdint>
#include <span>

#include "mesh/xds/envoy_schema_tables.h"
#include "mesh/xds/wire_reader.h"

namespace mesh::xds {
namespace {

constexpr int kMaxDepth = 64;

bool wire_type_fits(const FieldRow& row, WireType type) {
  switch (row.kind) {
    case Kind::kDouble:
      return type == WireType::kFixed64 || (row.repeated && type == WireType::kBytes);
    case Kind::kFloat:
      return type == WireType::kFixed32 || (row.repeated && type == WireType::kBytes);
    case Kind::kString:
    case Kind::kBytes:
    case Kind::kMessage:
      return type == WireType::kBytes;
    default:
      return type == WireType::kVarint || (row.repeated && type == WireType::kBytes);
  }
}

// The text of a map's key, as it stands in a path.
std::string key_of(const MessageRow& entry, std::string_view bytes) {
  WireReader reader(bytes);
  WireField field;
  while (reader.next(field)) {
    const FieldRow* row = find_field(entry, field.number);
    if (row == nullptr || field.number != 1) continue;
    return row->kind == Kind::kString ? std::string(field.bytes) : std::to_string(field.value);
  }
  return {};
}

class Search {
 public:
  Search(std::vector<std::string>& found, std::size_t limit) : found_(found), limit_(limit) {}

  void look(const MessageRow& message, std::string_view bytes, const std::string& path, int depth) {
    if (depth > kMaxDepth) return say(path, "nests too deep");
    if (message.name == "weft.wire.Any") return look_into_any(bytes, path, depth);
    if (message.name == "weft.wire.Struct") return;
    WireReader reader(bytes);
    WireField field;
    std::vector<std::size_t> seen(message.fields, 0);
    while (found_.size() < limit_ && reader.next(field)) {
      const FieldRow* row = find_field(message, field.number);
      if (row == nullptr) {
        say(path, "field " + std::to_string(field.number) + " is unknown");
        continue;
      }
      if (!wire_type_fits(*row, field.type)) {
        say(join(path, row->json_name), "not a value of its type");
        continue;
      }
      if (row->kind == Kind::kMessage) {
        const std::size_t index = seen[static_cast<std::size_t>(row - first_field(message))]++;
        look_into(*row, field.bytes, join(path, row->json_name), index, depth);
      }
    }
    if (reader.malformed()) say(path, "not a protobuf message");
  }

 private:
  static std::string join(const std::string& path, std::string_view name) {
    return path.empty() ? std::string(name) : path + '.' + std::string(name);
  }

  void say(const std::string& path, const std::string& what) {
    if (found_.size() < limit_) found_.push_back(path.empty() ? what : path + ": " + what);
  }

  void look_into(const FieldRow& row, std::string_view bytes, std::string path, std::size_t index,
                 int depth) {
    const MessageRow& inner = message_at(row);
    if (!row.repeated) return look(inner, bytes, path, depth + 1);
    path += '[' + (inner.is_map_entry ? key_of(inner, bytes) : std::to_string(index)) + ']';
    if (!inner.is_map_entry) return look(inner, bytes, path, depth + 1);
    // The entry itself is not a step of the path.
    WireReader reader(bytes);
    WireField field;
    while (reader.next(field)) {
      const FieldRow* part = find_field(inner, field.number);
      if (part == nullptr || !wire_type_fits(*part, field.type)) {
        say(path, "not an entry of a map");
      } else if (part->kind == Kind::kMessage) {
        look(message_at(*part), field.bytes, path, depth + 1);
      }
    }
    if (reader.malformed()) say(path, "not a protobuf message");
  }

  void look_into_any(std::string_view bytes, const std::string& path, int depth) {
    AnyParts any;
    if (!read_any(bytes, any)) return say(path, "not a google.protobuf.Any");
    const MessageRow* inner = find_message(message_of(any.type_url));
    if (inner == nullptr) return say(path, std::string(message_of(any.type_url)) + " is unknown");
    look(*inner, any.value, path, depth + 1);
  }

  std::vector<std::string>& found_;
  std::size_t limit_;
};

}  // namespace

bool known_message(std::string_view type) { return find_message(type) != nullptr; }

std::string_view message_of(std::string_view type_url) {
  return type_url.substr(type_url.rfind('/') + 1);
}

std::vector<std::string> unknown_fields(std::string_view type, std::string_view bytes,
                                        std::size_t limit) {
  std::vector<std::string> found;
  const MessageRow* message = find_message(type);
  if (message == nullptr) return {std::string(type) + " is unknown"};
  Search(found, limit).look(*message, bytes, {}, 0);
  return found;
}

}  // namespace mesh::xds
