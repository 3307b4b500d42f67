// to_json(): a message of our subset as canonical protobuf JSON.

#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "mesh/base/utf8.h"
#include "mesh/xds/envoy_schema.h"
#include "mesh/xds/envoy_schema_tables.h"
#include "mesh/xds/wire_reader.h"

namespace mesh::xds {
namespace {

constexpr int kMaxDepth = 64;

void append_text(std::string& out, std::string_view text) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20) {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

void append_base64(std::string& out, std::string_view bytes) {
  static constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  out += '"';
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::size_t left = std::min<std::size_t>(3, bytes.size() - at);
    std::uint32_t group = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      group = group << 8 | (i < left ? static_cast<unsigned char>(bytes[at + i]) : 0U);
    }
    for (std::size_t i = 0; i < 4; ++i) {
      out += i <= left ? kAlphabet[group >> (18 - 6 * i) & 63] : '=';
    }
  }
  out += '"';
}

void append_double(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "\"NaN\"";
  } else if (std::isinf(value)) {
    out += value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
  } else {
    std::array<char, 32> text;
    const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
    out.append(text.data(), end);
  }
}

// One value as it stood on the wire; a packed list's are taken apart.
struct Value {
  std::uint64_t number = 0;
  std::string_view bytes;
};

class Printer {
 public:
  explicit Printer(std::string& out) : out_(out) {}

  bool message(const MessageRow& row, std::string_view bytes, int depth) {
    if (depth > kMaxDepth) return false;
    if (row.name.starts_with("weft.wire.")) return well_known(row, bytes, depth);
    out_ += '{';
    const bool ok = members(row, bytes, depth, true);
    out_ += '}';
    return ok;
  }

 private:
  using Fields = std::map<const FieldRow*, std::vector<Value>>;

  static bool collect(const MessageRow& row, std::string_view bytes, Fields& fields) {
    WireReader reader(bytes);
    WireField field;
    while (reader.next(field)) {
      const FieldRow* known = find_field(row, field.number);
      if (known == nullptr) continue;
      std::vector<Value>& values = fields[known];
      const bool packed = known->repeated && field.type == WireType::kBytes &&
                          known->kind != Kind::kMessage && known->kind != Kind::kString &&
                          known->kind != Kind::kBytes;
      if (packed) {
        if (!unpack(field.bytes, values)) return false;
      } else if (known->repeated || values.empty()) {
        values.push_back({field.value, field.bytes});
      } else {
        values.back() = {field.value, field.bytes};
      }
    }
    return !reader.malformed();
  }

  // Varints only: our subset has no packed list of anything else.
  static bool unpack(std::string_view bytes, std::vector<Value>& values) {
    std::uint64_t value = 0;
    int shift = 0;
    for (const char c : bytes) {
      if (shift > 63) return false;
      value |= static_cast<std::uint64_t>(static_cast<unsigned char>(c) & 0x7F) << shift;
      shift += 7;
      if ((static_cast<unsigned char>(c) & 0x80) != 0) continue;
      values.push_back({value, {}});
      value = 0;
      shift = 0;
    }
    return shift == 0;
  }

  bool members(const MessageRow& row, std::string_view bytes, int depth, bool first) {
    Fields fields;
    if (!collect(row, bytes, fields)) return false;
    for (const auto& [field, values] : fields) {
      if (!first) out_ += ',';
      first = false;
      append_text(out_, field->json_name);
      out_ += ':';
      if (!member(*field, values, depth)) return false;
    }
    return true;
  }

  bool member(const FieldRow& field, const std::vector<Value>& values, int depth) {
    if (!field.repeated) return one(field, values.back(), depth);
    if (field.kind == Kind::kMessage && message_at(field).is_map_entry) {
      return map(message_at(field), values, depth);
    }
    out_ += '[';
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (i > 0) out_ += ',';
      if (!one(field, values[i], depth)) return false;
    }
    out_ += ']';
    return true;
  }

  bool map(const MessageRow& entry, const std::vector<Value>& values, int depth) {
    std::map<std::string, Value> sorted;
    const FieldRow& key = *find_field(entry, 1);
    const FieldRow& content = *find_field(entry, 2);
    for (const Value& value : values) {
      Fields fields;
      if (!collect(entry, value.bytes, fields)) return false;
      const Value name = fields.contains(&key) ? fields[&key].back() : Value{};
      const Value what = fields.contains(&content) ? fields[&content].back() : Value{};
      sorted[key.kind == Kind::kString ? std::string(name.bytes) : std::to_string(name.number)] =
          what;
    }
    out_ += '{';
    for (bool first = true; const auto& [name, what] : sorted) {
      if (!first) out_ += ',';
      first = false;
      append_text(out_, name);
      out_ += ':';
      if (!one(content, what, depth)) return false;
    }
    out_ += '}';
    return true;
  }

  bool one(const FieldRow& field, const Value& value, int depth) {
    switch (field.kind) {
      case Kind::kDouble:
        append_double(out_, std::bit_cast<double>(value.number));
        return true;
      case Kind::kFloat:
        append_double(out_, static_cast<double>(
                                std::bit_cast<float>(static_cast<std::uint32_t>(value.number))));
        return true;
      case Kind::kInt64:
        out_ += '"' + std::to_string(static_cast<std::int64_t>(value.number)) + '"';
        return true;
      case Kind::kUint64:
        out_ += '"' + std::to_string(value.number) + '"';
        return true;
      case Kind::kInt32:
        out_ += std::to_string(static_cast<std::int32_t>(value.number));
        return true;
      case Kind::kUint32:
        out_ += std::to_string(static_cast<std::uint32_t>(value.number));
        return true;
      case Kind::kBool:
        out_ += value.number != 0 ? "true" : "false";
        return true;
      case Kind::kString:
        append_text(out_, value.bytes);
        return is_utf8(value.bytes);
      case Kind::kBytes:
        append_base64(out_, value.bytes);
        return true;
      case Kind::kMessage:
        return message(message_at(field), value.bytes, depth + 1);
      case Kind::kEnum:
        break;
    }
    const auto number = static_cast<std::int32_t>(value.number);
    const std::string_view name = enum_name(field, number);
    if (name.empty()) {
      out_ += std::to_string(number);
    } else {
      append_text(out_, name);
    }
    return true;
  }

  bool well_known(const MessageRow& row, std::string_view bytes, int depth) {
    const std::string_view name = row.name.substr(10);
    if (name == "Any") return any(bytes, depth);
    Fields fields;
    if (!collect(row, bytes, fields)) return false;
    if (name == "Empty") {
      out_ += "{}";
    } else if (name == "Duration") {
      duration(row, fields);
    } else if (name == "Value") {
      if (fields.empty() || fields.begin()->first->number == 1) {
        out_ += "null";
        return true;
      }
      const auto& [field, values] = *fields.begin();
      return one(*field, values.back(), depth);
    } else {  // a wrapper's value, a Struct's fields, a ListValue's values: the only field
      const FieldRow& field = *first_field(row);
      if (fields.empty() && field.kind == Kind::kMessage) {
        out_ += name == "Struct" ? "{}" : "[]";
        return true;
      }
      return member(field, fields.empty() ? std::vector<Value>{{}} : fields.begin()->second, depth);
    }
    return true;
  }

  void duration(const MessageRow& row, const Fields& fields) {
    const auto part = [&row, &fields](std::uint32_t number) {
      const auto found = fields.find(find_field(row, number));
      return found == fields.end() ? 0 : static_cast<std::int64_t>(found->second.back().number);
    };
    const std::int64_t seconds = part(1);
    const auto nanos = static_cast<std::int32_t>(part(2));
    out_ += '"';
    if (seconds < 0 || nanos < 0) out_ += '-';
    out_ += std::to_string(seconds < 0 ? 0 - static_cast<std::uint64_t>(seconds)
                                       : static_cast<std::uint64_t>(seconds));
    if (nanos != 0) {
      std::string digits = std::to_string(nanos < 0 ? -static_cast<std::int64_t>(nanos) : nanos);
      digits.insert(0, digits.size() < 9 ? 9 - digits.size() : 0, '0');
      while (digits.size() > 3 && digits.ends_with("000")) digits.resize(digits.size() - 3);
      out_ += '.' + digits;
    }
    out_ += "s\"";
  }

  bool any(std::string_view bytes, int depth) {
    AnyParts parts;
    if (!read_any(bytes, parts)) return false;
    out_ += "{\"@type\":";
    append_text(out_, parts.type_url);
    const MessageRow* inner = find_message(message_of(parts.type_url));
    if (inner != nullptr && inner->name.starts_with("weft.wire.")) {
      out_ += ",\"value\":";
      if (!message(*inner, parts.value, depth + 1)) return false;
    } else if (inner != nullptr) {
      if (depth >= kMaxDepth || !members(*inner, parts.value, depth + 1, false)) return false;
    } else {  // not ours: its bytes
      out_ += ",\"value\":";
      append_base64(out_, parts.value);
    }
    out_ += '}';
    return true;
  }

  std::string& out_;
};

}  // namespace

std::string to_json(std::string_view type, std::string_view bytes) {
  std::string out;
  const MessageRow* message = find_message(type);
  if (message == nullptr || !Printer(out).message(*message, bytes, 0)) return {};
  return out;
}

}  // namespace mesh::xds
