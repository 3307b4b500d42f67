#include "waypoint/health/message.h"

namespace mesh::waypoint::health {
namespace {

void append_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

std::optional<std::uint64_t> take_varint(std::string_view& from) {
  std::uint64_t value = 0;
  for (int shift = 0; shift < 64 && !from.empty(); shift += 7) {
    const auto byte = static_cast<std::uint8_t>(from.front());
    from.remove_prefix(1);
    value |= std::uint64_t{byte & 0x7fu} << shift;
    if ((byte & 0x80) == 0) return value;
  }
  return std::nullopt;
}

// Of a field that is not known; groups are refused.
bool skip(std::string_view& from, std::uint64_t wire_type) {
  std::optional<std::uint64_t> size;
  switch (wire_type) {
    case 0:
      return take_varint(from).has_value();
    case 1:
      size = 8;
      break;
    case 2:
      size = take_varint(from);
      break;
    case 5:
      size = 4;
      break;
    default:
      return false;
  }
  if (!size || *size > from.size()) return false;
  from.remove_prefix(static_cast<std::size_t>(*size));
  return true;
}

}  // namespace

std::string encode_check(std::string_view service) {
  std::string message;
  if (service.empty()) return message;
  message.push_back('\x0a');
  append_varint(message, service.size());
  return message.append(service);
}

std::optional<Serving> decode_check_answer(std::string_view message) {
  if (message.size() > kAnswerMax) return std::nullopt;
  std::uint64_t status = 0;
  while (!message.empty()) {
    const auto tag = take_varint(message);
    if (!tag || *tag >> 3 == 0) return std::nullopt;
    if (*tag != 8) {
      if (!skip(message, *tag & 7)) return std::nullopt;
      continue;
    }
    const auto value = take_varint(message);
    if (!value) return std::nullopt;
    status = *value;
  }
  return status <= 3 ? static_cast<Serving>(status) : Serving::kUnknown;
}

}  // namespace mesh::waypoint::health
