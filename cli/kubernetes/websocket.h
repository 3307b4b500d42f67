#pragma once
// What a port-forward is made of: frames of RFC 6455 with Kubernetes' channels in them, and the
// HTTP/1.1 answer that comes through. Pure.
//
// Limits: 64 MiB of answer, 64 KiB of its head, 16 MiB a frame.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cli/http.h"
#include "cli/outcome.h"

namespace mesh::cli {

// A binary frame from client to server that holds `payload`. `mask`: random.
std::string websocket_frame(std::string_view payload, std::uint32_t mask);

struct Frame {
  enum class Type : std::uint8_t { kData, kClose, kOther };
  Type type = Type::kOther;
  std::string payload;
};

class FrameReader {
 public:
  void feed(std::string_view bytes) { bytes_.append(bytes); }
  // The next whole frame; none: more bytes are needed. Errors: not what a server may send.
  Outcome<std::optional<Frame>> next();

 private:
  std::string bytes_;
};

// The port's stream, from the channels that its frames are of.
class ForwardedPort {
 public:
  // Takes the payload of a frame. Errors: what the node says of the port.
  Outcome<Done> take(std::string_view payload);
  const std::string& received() const { return received_; }

 private:
  std::string received_;
  std::string complaint_;
  unsigned heads_[2] = {2, 2};  // bytes of the port number still to come, per channel
};

// A whole answer, when it is there. `ended`: no more will come.
Outcome<std::optional<HttpAnswer>> read_answer(std::string_view bytes, bool ended);

}  // namespace mesh::cli
