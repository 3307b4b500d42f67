#include "mesh/tls/piece.h"

#include <algorithm>
#include <cstring>

#include "mesh/base/check.h"

namespace mesh::tls {

Piece::Piece(io::Buffer buffer) noexcept
    : begin_(buffer.bytes().data()),
      size_(static_cast<std::uint32_t>(buffer.size())),
      headroom_(static_cast<std::uint32_t>(buffer.headroom())),
      tailroom_(static_cast<std::uint32_t>(buffer.tailroom())),
      lease_(std::move(buffer)) {}

Piece Piece::allocate(std::size_t size) {
  Piece piece;
  piece.heap_ = std::make_unique_for_overwrite<std::byte[]>(kPieceHeadroom + size + kPieceTailroom);
  piece.begin_ = piece.heap_.get() + kPieceHeadroom;
  piece.size_ = static_cast<std::uint32_t>(size);
  piece.headroom_ = kPieceHeadroom;
  piece.tailroom_ = kPieceTailroom;
  return piece;
}

Piece Piece::copy_of(std::span<const std::byte> bytes) {
  Piece piece = allocate(bytes.size());
  if (!bytes.empty()) std::memcpy(piece.begin_, bytes.data(), bytes.size());
  return piece;
}

std::byte* Piece::grow_front(std::size_t count) noexcept {
  MESH_CHECK(count <= headroom_);
  begin_ -= count;
  size_ += static_cast<std::uint32_t>(count);
  headroom_ -= static_cast<std::uint32_t>(count);
  return begin_;
}

std::byte* Piece::grow_back(std::size_t count) noexcept {
  MESH_CHECK(count <= tailroom_);
  std::byte* const grown = begin_ + size_;
  size_ += static_cast<std::uint32_t>(count);
  tailroom_ -= static_cast<std::uint32_t>(count);
  return grown;
}

void Piece::drop_front(std::size_t count) noexcept {
  MESH_CHECK(count <= size_);
  begin_ += count;
  size_ -= static_cast<std::uint32_t>(count);
  headroom_ += static_cast<std::uint32_t>(count);
}

void Piece::drop_back(std::size_t count) noexcept {
  MESH_CHECK(count <= size_);
  size_ -= static_cast<std::uint32_t>(count);
  tailroom_ += static_cast<std::uint32_t>(count);
}

std::size_t Piece::append(std::span<const std::byte> bytes, std::size_t reserve) noexcept {
  const std::size_t free = tailroom_ > reserve ? tailroom_ - reserve : 0;
  const std::size_t count = std::min(free, bytes.size());
  if (count > 0) std::memcpy(grow_back(count), bytes.data(), count);
  return count;
}

}  // namespace mesh::tls
