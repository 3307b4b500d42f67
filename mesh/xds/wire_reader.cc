#include "mesh/xds/wire_reader.h"

#include <utility>

#include "mesh/base/utf8.h"

namespace mesh::xds {

bool WireReader::next(WireField& field) {
  if (rest_.empty() || malformed_) return false;
  malformed_ = true;  // until the whole field has been read
  std::uint64_t tag = 0;
  if (!varint(tag)) return false;
  const std::uint64_t number = tag >> 3;
  if (number == 0 || number > 0x1fff'ffff) return false;
  field = {.number = static_cast<std::uint32_t>(number), .type = static_cast<WireType>(tag & 7)};
  switch (field.type) {
    case WireType::kVarint:
      if (!varint(field.value)) return false;
      break;
    case WireType::kFixed64:
      if (!fixed(8, field.value)) return false;
      break;
    case WireType::kFixed32:
      if (!fixed(4, field.value)) return false;
      break;
    case WireType::kBytes: {
      std::uint64_t size = 0;
      if (!varint(size) || size > rest_.size()) return false;
      field.bytes = rest_.substr(0, static_cast<std::size_t>(size));
      rest_.remove_prefix(static_cast<std::size_t>(size));
      break;
    }
    default:  // groups, and what no version of the format has
      return false;
  }
  malformed_ = false;
  return true;
}

bool WireReader::varint(std::uint64_t& value) {
  value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (rest_.empty()) return false;
    const auto byte = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    if (shift == 63 && byte > 1) return false;  // more than 64 bits
    value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return true;
  }
  return false;
}

bool WireReader::fixed(std::size_t size, std::uint64_t& value) {
  if (rest_.size() < size) return false;
  value = 0;
  for (std::size_t i = 0; i < size; ++i) {
    value |= static_cast<std::uint64_t>(static_cast<std::uint8_t>(rest_[i])) << (8 * i);
  }
  rest_.remove_prefix(size);
  return true;
}

bool FieldDecoder::text(const WireField& field, std::string& to, std::size_t limit) {
  if (field.type != WireType::kBytes) return fail("not a text");
  if (field.bytes.size() > limit) return fail("longer than " + std::to_string(limit) + " bytes");
  if (!is_utf8(field.bytes)) return fail("not UTF-8");
  to = field.bytes;
  return true;
}

bool FieldDecoder::raw(const WireField& field, std::string& to) {
  if (field.type != WireType::kBytes) return fail("not bytes");
  if (field.bytes.size() > kMaxText) return fail("too long");
  to = field.bytes;
  return true;
}

bool FieldDecoder::flag(const WireField& field, bool& to) {
  if (field.type != WireType::kVarint) return fail("not a bool");
  to = field.value != 0;
  return true;
}

bool FieldDecoder::number(const WireField& field, std::uint32_t& to) {
  if (field.type != WireType::kVarint) return fail("not a number");
  if (field.value > 0xffff'ffff) return fail("more than 32 bits");
  to = static_cast<std::uint32_t>(field.value);
  return true;
}

bool FieldDecoder::choice(const WireField& field, std::uint32_t highest, std::uint32_t& to) {
  if (!number(field, to)) return false;
  return to <= highest || fail("value " + std::to_string(to) + " is unknown");
}

bool FieldDecoder::numbers(const WireField& field, std::vector<std::uint32_t>& to,
                           std::size_t limit) {
  const auto add = [&](std::uint64_t value) {
    if (to.size() >= limit) return fail("more than " + std::to_string(limit));
    if (value > 0xffff'ffff) return fail("more than 32 bits");
    to.push_back(static_cast<std::uint32_t>(value));
    return true;
  };
  if (field.type == WireType::kVarint) return add(field.value);
  if (field.type != WireType::kBytes) return fail("not numbers");
  std::string_view rest = field.bytes;
  while (!rest.empty()) {
    std::uint64_t value = 0;
    unsigned shift = 0;
    bool more = true;
    while (more) {
      if (rest.empty() || shift > 63) return fail("not a protobuf message");
      const auto byte = static_cast<std::uint8_t>(rest.front());
      rest.remove_prefix(1);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      shift += 7;
      more = (byte & 0x80) != 0;
    }
    if (!add(value)) return false;
  }
  return true;
}

bool FieldDecoder::unknown(const WireField& field) {
  return fail("field " + std::to_string(field.number) + " is unknown");
}

bool FieldDecoder::fail(std::string what) {
  what_ = std::move(what);
  where_.clear();
  return false;
}

bool FieldDecoder::under(std::string_view name) {
  where_ = where_.empty() ? std::string(name) : std::string(name) + "." + where_;
  return false;
}

bool FieldDecoder::under(std::string_view name, std::size_t index) {
  return under(std::string(name) + "[" + std::to_string(index) + "]");
}

bool FieldDecoder::under_key(std::string_view name, std::string_view key) {
  return under(std::string(name) + "[\"" + std::string(key) + "\"]");
}

std::string FieldDecoder::problem() const { return where_.empty() ? what_ : where_ + ": " + what_; }

}  // namespace mesh::xds
