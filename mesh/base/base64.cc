#include "mesh/base/base64.h"

#include <cstddef>
#include <cstdint>

namespace mesh {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// -1: none of the alphabet.
int value_of(char c, char c62, char c63) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == c62) return 62;
  if (c == c63) return 63;
  return -1;
}

std::optional<std::string> decode(std::string_view text, char c62, char c63, bool spaces) {
  while (!text.empty() && (text.back() == '=' || (spaces && text.back() == '\n'))) {
    text.remove_suffix(1);
  }
  std::string out;
  out.reserve(text.size() / 4 * 3 + 2);
  std::uint32_t bits = 0;
  int count = 0;
  std::size_t letters = 0;
  for (const char c : text) {
    if (spaces && (c == '\n' || c == '\r' || c == ' ')) continue;
    const int value = value_of(c, c62, c63);
    if (value < 0) return {};
    ++letters;
    bits = (bits << 6) | static_cast<std::uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out += static_cast<char>((bits >> count) & 0xff);
    }
  }
  if (letters % 4 == 1) return {};
  return out;
}

}  // namespace

std::string base64_encode(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t bits = 0;
    for (std::size_t j = 0; j < 3; ++j) {
      bits <<= 8;
      if (i + j < bytes.size()) bits |= static_cast<unsigned char>(bytes[i + j]);
    }
    for (std::size_t j = 0; j < 4; ++j) {
      out += i + j > bytes.size() ? '=' : kAlphabet[(bits >> (18 - 6 * j)) & 63];
    }
  }
  return out;
}

std::optional<std::string> base64_decode(std::string_view text) {
  return decode(text, '+', '/', true);
}

std::optional<std::string> base64url_decode(std::string_view text) {
  return decode(text, '-', '_', false);
}

}  // namespace mesh
