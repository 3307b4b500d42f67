// Answers of authorizers: whatever the bytes, what is decoded can be judged and applied.

#include <cstddef>
#include <cstdint>

#include "waypoint/extensions/check_message.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mesh::waypoint;
  const auto answer = extensions::decode_check_answer({reinterpret_cast<const char*>(data), size});
  if (!answer) return 0;
  mesh::h2::Headers headers = {{"host", "a"}, {"x-a", "1"}};
  for (const auto& edit : answer->request_headers) {
    if (extensions::is_good_edit(edit)) extensions::apply(edit, headers);
  }
  // Whatever is applied, what frames a message is what it was.
  if (mesh::h2::find_header(headers, "host") != "a") __builtin_trap();
  for (const auto& header : headers) {
    if (header.value.find_first_of("\r\n") != std::string::npos) __builtin_trap();
  }
  return 0;
}
