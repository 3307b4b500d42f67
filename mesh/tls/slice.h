#pragma once
// Slice: received bytes, and what keeps them alive.
//
// A tunnel's ciphertext arrives in 64 KiB buffers; records are opened in place, and what HTTP/2
// finds in them is handed on as slices of the same memory. The buffer returns to its pool with the
// last slice, so whoever keeps a small slice for long copies it first (Slice::copy_of).

#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <utility>

#include "mesh/io/buffer.h"

namespace mesh::tls {

// Copyable; the owner is counted. Empty when default constructed.
class Slice {
 public:
  Slice() = default;
  // `bytes` lie in what `owner` keeps alive.
  Slice(std::shared_ptr<void> owner, std::span<std::byte> bytes)
      : owner_(std::move(owner)), bytes_(bytes) {}
  explicit Slice(io::Buffer buffer) {
    auto held = std::make_shared<io::Buffer>(std::move(buffer));
    bytes_ = held->bytes();
    owner_ = std::move(held);
  }
  static Slice copy_of(std::span<const std::byte> bytes) {
    if (bytes.empty()) return {};
    std::shared_ptr<std::byte[]> memory = std::make_shared_for_overwrite<std::byte[]>(bytes.size());
    std::memcpy(memory.get(), bytes.data(), bytes.size());
    std::byte* const begin = memory.get();
    return Slice(std::shared_ptr<void>(std::move(memory), begin), {begin, bytes.size()});
  }

  std::span<std::byte> bytes() const noexcept { return bytes_; }
  std::size_t size() const noexcept { return bytes_.size(); }
  bool empty() const noexcept { return bytes_.empty(); }
  void drop_front(std::size_t count) noexcept { bytes_ = bytes_.subspan(count); }
  // A part of this slice: `bytes` lie within bytes().
  Slice part(std::span<std::byte> bytes) const { return Slice(owner_, bytes); }

 private:
  std::shared_ptr<void> owner_;
  std::span<std::byte> bytes_;
};

}  // namespace mesh::tls
