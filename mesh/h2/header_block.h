#pragma once
// HeaderBlock: how long a peer has been at the header block that it began and has not ended. No
// other frame may come between, so who holds one open holds up the whole connection. It reads frame
// headers by itself: nghttp2 does not tell of the blocks that it ignores.

#include <array>
#include <cstddef>
#include <optional>
#include <span>

#include "mesh/io/ring.h"

namespace mesh::h2 {

class HeaderBlock {
 public:
  // `preface`: bytes that come before the first frame.
  explicit HeaderBlock(std::size_t preface) : skip_(preface) {}

  // In the order of their coming, cut anywhere.
  void saw(std::span<const std::byte> bytes, io::TimePoint now);
  // When the block began that has not ended.
  std::optional<io::TimePoint> open_since() const { return since_; }

 private:
  void frame_begins(io::TimePoint now);

  std::size_t skip_;  // of the preface, or of a frame's payload
  std::array<std::byte, 9> head_{};
  std::size_t have_ = 0;  // of head_
  bool ends_ = false;     // the block, with this frame
  std::optional<io::TimePoint> since_{};
};

}  // namespace mesh::h2
