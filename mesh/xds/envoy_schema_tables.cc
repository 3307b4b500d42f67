#include "mesh/xds/envoy_schema_tables.h"

#include <algorithm>
#include <iterator>

#include "mesh/xds/wire_reader.h"

namespace mesh::xds {
namespace {

struct EnumRow {
  std::uint32_t first;
  std::uint32_t values;
};
struct ValueRow {
  std::int64_t number;
  std::string_view name;
};

#include "mesh/xds/proto/envoy/envoy_schema.inc"

}  // namespace

const MessageRow* find_message(std::string_view name) {
  std::string ours;
  if (name.starts_with("google.protobuf.")) {
    ours = "weft.wire." + std::string(name.substr(16));
    name = ours;
  }
  const auto* found = std::lower_bound(
      std::begin(kMessages), std::end(kMessages), name,
      [](const MessageRow& row, std::string_view wanted) { return row.name < wanted; });
  return found != std::end(kMessages) && found->name == name ? found : nullptr;
}

const MessageRow& message_at(const FieldRow& field) { return kMessages[field.of]; }

const FieldRow* first_field(const MessageRow& message) { return kFields + message.first; }

const FieldRow* find_field(const MessageRow& message, std::uint32_t number) {
  const FieldRow* first = first_field(message);
  const FieldRow* last = first + message.fields;
  const FieldRow* found = std::lower_bound(
      first, last, number,
      [](const FieldRow& row, std::uint32_t wanted) { return row.number < wanted; });
  return found != last && found->number == number ? found : nullptr;
}

std::string_view enum_name(const FieldRow& field, std::int64_t value) {
  const EnumRow& row = kEnums[field.of];
  for (std::uint32_t i = 0; i < row.values; ++i) {
    if (kValues[row.first + i].number == value) return kValues[row.first + i].name;
  }
  return {};
}

bool read_any(std::string_view bytes, AnyParts& any) {
  WireReader reader(bytes);
  WireField field;
  while (reader.next(field)) {
    if (field.type != WireType::kBytes || field.number < 1 || field.number > 2) return false;
    (field.number == 1 ? any.type_url : any.value) = field.bytes;
  }
  return !reader.malformed();
}

}  // namespace mesh::xds
