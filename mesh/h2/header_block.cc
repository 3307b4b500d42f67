#include "mesh/h2/header_block.h"

#include <algorithm>

namespace mesh::h2 {
namespace {

constexpr std::byte kHeaders{1};
constexpr std::byte kContinuation{9};
constexpr std::byte kEndHeaders{4};

}  // namespace

void HeaderBlock::saw(std::span<const std::byte> bytes, io::TimePoint now) {
  while (!bytes.empty()) {
    if (skip_ > 0) {
      const std::size_t count = std::min(skip_, bytes.size());
      skip_ -= count;
      bytes = bytes.subspan(count);
    } else {
      const std::size_t count = std::min(head_.size() - have_, bytes.size());
      std::ranges::copy(bytes.first(count), head_.begin() + static_cast<std::ptrdiff_t>(have_));
      have_ += count;
      bytes = bytes.subspan(count);
      if (have_ < head_.size()) return;
      frame_begins(now);
    }
    if (skip_ == 0 && ends_) since_.reset();
  }
}

void HeaderBlock::frame_begins(io::TimePoint now) {
  have_ = 0;
  skip_ = std::to_integer<std::size_t>(head_[0]) << 16 |
          std::to_integer<std::size_t>(head_[1]) << 8 | std::to_integer<std::size_t>(head_[2]);
  const std::byte type = head_[3];
  const bool of_block = type == kHeaders || type == kContinuation;
  ends_ = !of_block || (head_[4] & kEndHeaders) != std::byte{0};
  if (type == kHeaders) since_ = now;
  if (!of_block) since_.reset();
}

}  // namespace mesh::h2
