// Answers of processors: whatever the bytes, what is decoded is within its limits.

#include <cstddef>
#include <cstdint>

#include "waypoint/extensions/process_message.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mesh::waypoint;
  const auto answer =
      extensions::decode_process_answer({reinterpret_cast<const char*>(data), size});
  if (!answer) return 0;
  if (answer->headers.set.size() > extensions::kEditsMax) __builtin_trap();
  using Body = config::ExtProc::Body;
  if (answer->mode && answer->mode->request_body > Body::kBufferedPartial) __builtin_trap();
  return 0;
}
