#include "mesh/base/utf8.h"

#include <cstddef>
#include <cstdint>

namespace mesh {

bool is_utf8(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  for (std::size_t i = 0; i < text.size();) {
    const std::uint8_t first = byte(i);
    if (first < 0x80) {
      ++i;
      continue;
    }
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
      return false;
    }
    if (text.size() - i <= more) return false;
    for (std::size_t k = 1; k <= more; ++k) {
      if ((byte(i + k) & 0xc0) != 0x80) return false;
      point = (point << 6) | (byte(i + k) & 0x3fu);
    }
    if (point < least || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return false;
    i += more + 1;
  }
  return true;
}

}  // namespace mesh
