#pragma once
// gRPC's message framing: one byte "compressed", four bytes length, the message. Bytes in, messages
// out; no I/O.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "mesh/base/result.h"

namespace mesh::grpc {

inline constexpr std::size_t kMessagePrefixBytes = 5;
inline constexpr std::size_t kMessageMaxDefault = 200u * 1024 * 1024;

// Puts the prefix in front of one message. Checked: at most 4 GiB - 1.
std::string frame_message(std::string_view message);

// Cuts a stream of bytes into messages.
//
// Limits: a message announced larger than `message_max` is kTooLarge as soon as its prefix is
// there. Memory grows with the bytes that have arrived, never with a length that was only
// announced.
class MessageReader {
 public:
  explicit MessageReader(std::size_t message_max = kMessageMaxDefault) : max_(message_max) {}

  // Takes what it needs from the front of `bytes` (which shrinks): up to the end of one message, or
  // everything. The message when one is complete; none when more bytes are needed.
  // Errors: kTooLarge; kMalformed for a compressed message (we accept identity only). After an
  // error the reader is spent.
  Result<std::optional<std::string>> feed(std::span<const std::byte>& bytes);

  // Nothing of a message has arrived: the stream may end here.
  bool at_boundary() const { return prefix_size_ == 0; }
  // Bytes held of an incomplete message.
  std::size_t held() const { return message_.size(); }

 private:
  std::size_t max_;
  std::size_t prefix_size_ = 0;
  std::uint8_t prefix_[kMessagePrefixBytes] = {};
  std::size_t announced_ = 0;
  std::string message_;
};

}  // namespace mesh::grpc
