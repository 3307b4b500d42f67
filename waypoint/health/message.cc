#include "waypoint/health/message.h"

#include "mesh/xds/wire_reader.h"

namespace mesh::waypoint::health {
namespace {

void append_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
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
  constexpr std::uint32_t kStatus = 1;
  std::uint64_t status = 0;
  xds::WireReader reader(message);
  xds::WireField field;
  while (reader.next(field)) {
    if (field.number == kStatus && field.type == xds::WireType::kVarint) status = field.value;
  }
  if (reader.malformed()) return std::nullopt;
  return status <= 3 ? static_cast<Serving>(status) : Serving::kUnknown;
}

}  // namespace mesh::waypoint::health
