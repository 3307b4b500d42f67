// What comes through a port-forward is anything: an error, or frames and an answer.

#include <cstdint>

#include "cli/kubernetes/websocket.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)mesh::cli::read_answer(bytes, size % 2 == 0);
  mesh::cli::FrameReader reader;
  mesh::cli::ForwardedPort port;
  reader.feed(bytes);
  for (;;) {
    const auto frame = reader.next();
    if (!frame || !*frame || !port.take((*frame)->payload)) return 0;
  }
}
