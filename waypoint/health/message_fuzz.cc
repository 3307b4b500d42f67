// Answers of health services: whatever the bytes, an answer is one of four, or none.

#include <cstddef>
#include <cstdint>

#include "waypoint/health/message.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mesh::waypoint;
  const auto answer = health::decode_check_answer({reinterpret_cast<const char*>(data), size});
  if (answer && *answer > health::Serving::kServiceUnknown) __builtin_trap();
  if (answer && size > health::kAnswerMax) __builtin_trap();
  return 0;
}
