// Answers of rate limit services: whatever the bytes, what is decoded is within its limits.

#include <cstddef>
#include <cstdint>

#include "waypoint/extensions/limit_message.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mesh::waypoint;
  const auto answer = extensions::decode_limit_answer({reinterpret_cast<const char*>(data), size});
  if (!answer) return 0;
  if (answer->statuses.size() > extensions::kEditsMax) __builtin_trap();
  mesh::h2::Headers headers = {{"host", "a"}};
  for (const auto& edit : answer->response_headers) {
    if (extensions::is_good_edit(edit)) extensions::apply(edit, headers);
  }
  if (mesh::h2::find_header(headers, "host") != "a") __builtin_trap();
  return 0;
}
