#include "mesh/io/buffer.h"

#include <cstring>
#include <new>
#include <utility>

#include "mesh/base/check.h"
#include "mesh/io/buffer_pool.h"

namespace mesh::io {

using internal::Lease;

namespace {

void let_go(Lease* lease) noexcept {
  if (lease == nullptr || --lease->references > 0) return;
  if (lease->pool != nullptr) {
    lease->pool->release(*lease);
  } else {
    lease->~Lease();
    ::operator delete(lease, std::align_val_t(alignof(Lease)));
  }
}

}  // namespace

Buffer::Buffer(Buffer&& other) noexcept
    : lease_(std::exchange(other.lease_, nullptr)),
      begin_(std::exchange(other.begin_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this == &other) return *this;
  let_go(lease_);
  lease_ = std::exchange(other.lease_, nullptr);
  begin_ = std::exchange(other.begin_, nullptr);
  size_ = std::exchange(other.size_, 0);
  return *this;
}

Buffer::~Buffer() { let_go(lease_); }

Buffer Buffer::allocate(std::size_t capacity) {
  const std::size_t room = kHeadroom + capacity + kTailroom;
  MESH_CHECK(room <= 0xffffffff);
  auto* lease = new (::operator new(sizeof(Lease) + room, std::align_val_t(alignof(Lease)))) Lease;
  lease->references = 1;
  lease->room = static_cast<std::uint32_t>(room);
  return {lease, lease->begin() + kHeadroom, capacity};
}

Buffer Buffer::copy_of(std::span<const std::byte> bytes) {
  Buffer copy = allocate(bytes.size());
  if (!bytes.empty()) std::memcpy(copy.begin_, bytes.data(), bytes.size());
  return copy;
}

void Buffer::drop_front(std::size_t count) noexcept {
  MESH_CHECK(count <= size_);
  begin_ += count;
  size_ -= count;
}

void Buffer::drop_back(std::size_t count) noexcept {
  MESH_CHECK(count <= size_);
  size_ -= count;
}

std::size_t Buffer::headroom() const noexcept {
  return lease_ == nullptr ? 0 : static_cast<std::size_t>(begin_ - lease_->begin());
}

std::size_t Buffer::tailroom() const noexcept {
  return lease_ == nullptr ? 0 : static_cast<std::size_t>(lease_->end() - begin_) - size_;
}

std::byte* Buffer::grow_front(std::size_t count) noexcept {
  MESH_CHECK(count <= headroom());
  begin_ -= count;
  size_ += count;
  return begin_;
}

std::byte* Buffer::grow_back(std::size_t count) noexcept {
  MESH_CHECK(count <= tailroom());
  std::byte* added = begin_ + size_;
  size_ += count;
  return added;
}

Buffer Buffer::slice(std::size_t offset, std::size_t count) const noexcept {
  MESH_CHECK(offset <= size_ && count <= size_ - offset);
  if (lease_ != nullptr) ++lease_->references;
  return {lease_, begin_ + offset, count};
}

}  // namespace mesh::io
