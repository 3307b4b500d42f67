#include "mesh/base/utf8.h"

#include <cstddef>
#include <cstdint>

namespace mesh {

namespace {

// Bytes of the character that `text` begins with; 0: it begins with none.
std::size_t character(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t first = byte(0);
  if (first < 0x80) return 1;
  std::size_t more = 0;
  std::uint32_t point = 0;
  std::uint32_t least = 0;
  if ((first & 0xe0) == 0xc0) {
    more = 1, point = first & 0x1f, least = 0x80;
  } else if ((first & 0xf0) == 0xe0) {
    more = 2, point = first & 0x0f, least = 0x800;
  } else if ((first & 0xf8) == 0xf0) {
    more = 3, point = first & 0x07, least = 0x10000;
  } else {
    return 0;
  }
  if (text.size() <= more) return 0;
  for (std::size_t k = 1; k <= more; ++k) {
    if ((byte(k) & 0xc0) != 0x80) return 0;
    point = (point << 6) | (byte(k) & 0x3fu);
  }
  const bool surrogate = point >= 0xd800 && point <= 0xdfff;
  return point < least || point > 0x10ffff || surrogate ? 0 : more + 1;
}

}  // namespace

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t size = character(text);
    if (size == 0) return false;
    text.remove_prefix(size);
  }
  return true;
}

std::string clean_utf8(std::string_view text) {
  if (is_utf8(text)) return std::string(text);
  std::string clean;
  while (!text.empty()) {
    const std::size_t size = character(text);
    if (size == 0) clean.push_back('!');
    clean.append(text.substr(0, size));
    text.remove_prefix(size == 0 ? 1 : size);
  }
  return clean;
}

}  // namespace mesh
