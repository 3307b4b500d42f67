#pragma once
// Piece: bytes on their way out, with room around them for what lower layers add.
//
// HTTP/2 puts a frame header (9 bytes) in front of a payload, TLS a record header (5) in front of
// that and a content type and tag (17) behind: all of it is written into the room of the buffer
// that the payload was received in, so that a relayed byte is never copied.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "mesh/io/buffer.h"

namespace mesh::tls {

inline constexpr std::size_t kPieceHeadroom = io::kHeadroom;
inline constexpr std::size_t kPieceTailroom = io::kTailroom;

// Owns its bytes: a buffer leased from a ring, or memory of the heap. Move-only.
class Piece {
 public:
  Piece() = default;
  explicit Piece(io::Buffer buffer) noexcept;
  // Uninitialised payload of `size` bytes with kPieceHeadroom and kPieceTailroom around it.
  static Piece allocate(std::size_t size);
  static Piece copy_of(std::span<const std::byte> bytes);

  std::span<std::byte> bytes() noexcept { return {begin_, size_}; }
  std::span<const std::byte> bytes() const noexcept { return {begin_, size_}; }
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  std::size_t headroom() const noexcept { return headroom_; }
  std::size_t tailroom() const noexcept { return tailroom_; }

  // Extends the view over headroom or tailroom, which must suffice (checked).
  std::byte* grow_front(std::size_t count) noexcept;
  std::byte* grow_back(std::size_t count) noexcept;
  // The dropped bytes become headroom or tailroom.
  void drop_front(std::size_t count) noexcept;
  void drop_back(std::size_t count) noexcept;
  // Appends as much of `bytes` as fits into the tailroom beyond `reserve`; how many were taken.
  std::size_t append(std::span<const std::byte> bytes, std::size_t reserve) noexcept;

 private:
  std::byte* begin_ = nullptr;
  std::uint32_t size_ = 0;
  std::uint32_t headroom_ = 0;
  std::uint32_t tailroom_ = 0;
  io::Buffer lease_;
  std::unique_ptr<std::byte[]> heap_;
};

}  // namespace mesh::tls
