#pragma once
// The protobuf wire format, read field by field, with nothing skipped silently: a field number that
// its message does not have, or a wire type that its field does not have, is a problem with a path.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mesh::xds {

enum class WireType : std::uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

// A field as it stands on the wire. Borrows.
struct WireField {
  std::uint32_t number = 0;
  WireType type = WireType::kVarint;
  std::uint64_t value = 0;      // kVarint, kFixed32, kFixed64
  std::string_view bytes = {};  // kBytes
};

// Pulls fields off a message. Groups, field number 0 and truncated fields are malformed.
class WireReader {
 public:
  explicit WireReader(std::string_view message) : rest_(message) {}

  // False at the end, and at malformed bytes: then malformed() says so.
  bool next(WireField& field);
  bool malformed() const { return malformed_; }

 private:
  bool varint(std::uint64_t& value);
  bool fixed(std::size_t size, std::uint64_t& value);

  std::string_view rest_;
  bool malformed_ = false;
};

// Turns fields into values, and remembers the first thing that is wrong. Every function returns
// false when something is; the callers on the way out add where it was: under("matches", 2).
class FieldDecoder {
 public:
  // Calls on_field(field) for each field of `message`.
  template <class F>
  bool message(std::string_view message, F&& on_field) {
    WireReader reader(message);
    WireField field;
    while (reader.next(field)) {
      if (!on_field(field)) return false;
    }
    return !reader.malformed() || fail("not a protobuf message");
  }

  // A message of which every field is embedded in `field`: the same, after a check of its wire
  // type.
  template <class F>
  bool embedded(const WireField& field, F&& on_field) {
    if (field.type != WireType::kBytes) return fail("not a message");
    return message(field.bytes, on_field);
  }

  // UTF-8, at most `limit` bytes.
  bool text(const WireField& field, std::string& to, std::size_t limit = kMaxText);
  bool raw(const WireField& field, std::string& to);
  bool flag(const WireField& field, bool& to);
  bool number(const WireField& field, std::uint32_t& to);  // uint32: the low 32 bits are all
  // An enum of values 0 to `highest`.
  bool choice(const WireField& field, std::uint32_t highest, std::uint32_t& to);
  // A repeated uint32 or enum, packed or not.
  bool numbers(const WireField& field, std::vector<std::uint32_t>& to, std::size_t limit);

  bool unknown(const WireField& field);
  bool fail(std::string what);
  // Always false: puts a step in front of the path of what went wrong.
  bool under(std::string_view name);
  bool under(std::string_view name, std::size_t index);
  bool under_key(std::string_view name, std::string_view key);

  const std::string& where() const { return where_; }
  const std::string& what() const { return what_; }
  // "rules[0].clauses[1]: field 59 is unknown"
  std::string problem() const;

  static constexpr std::size_t kMaxText = 2'048;

 private:
  std::string where_;
  std::string what_;
};

}  // namespace mesh::xds
