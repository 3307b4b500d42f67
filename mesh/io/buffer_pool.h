#pragma once
// The provided buffers of one ring and class. Internal to mesh/io.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "mesh/base/result.h"
#include "mesh/io/buffer.h"

namespace mesh::io {

class BufferPool;

namespace internal {

class Backend;

// In front of each buffer's memory.
struct alignas(64) Lease {
  BufferPool* pool = nullptr;  // nullptr: from the heap
  std::uint32_t references = 0;
  std::uint32_t room = 0;  // bytes behind this header: headroom, payload, tailroom
  std::uint16_t id = 0;
  // While the buffer waits in a receiver's queue.
  std::byte* unread_begin = nullptr;
  std::size_t unread = 0;
  Lease* next_unread = nullptr;

  std::byte* begin() noexcept { return reinterpret_cast<std::byte*>(this + 1); }
  std::byte* end() noexcept { return begin() + room; }
};

// Wants to be told when the pool has a buffer again.
class BufferWaiter {
 public:
  virtual void on_buffer_available() noexcept = 0;

 protected:
  ~BufferWaiter() = default;

 private:
  friend BufferPool;
  BufferWaiter* next_waiter_ = nullptr;
  BufferWaiter* previous_waiter_ = nullptr;
  bool waits_ = false;
};

}  // namespace internal

// Memory comes in slabs of kSlab buffers, made when nothing is left, never returned before the ring
// goes: its high-water mark is what the busiest moment needed.
class BufferPool {
 public:
  static constexpr unsigned kSlab = 8;

  BufferPool() = default;
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;
  ~BufferPool();

  void set_up(internal::Backend& backend, BufferClass kind, unsigned first, unsigned max) noexcept;
  // Makes the first slabs. Errors: kExhausted.
  Result<Done> open() noexcept;
  // One slab more; false at the limit, or when the system has no memory.
  bool grow() noexcept;

  // Grows until so many bytes can be received at once, as far as it may.
  void make_room(std::size_t bytes) noexcept;

  // The lease of a buffer that the back end has filled with `size` bytes, all of them unread.
  internal::Lease& fill(std::uint16_t id, std::size_t size) noexcept;
  // What is unread of it.
  static Buffer buffer_of(internal::Lease& lease) noexcept;
  void release(internal::Lease& lease) noexcept;

  void wait(internal::BufferWaiter& waiter) noexcept;
  void forget(internal::BufferWaiter& waiter) noexcept;

  bool has_waiters() const noexcept { return first_waiter_ != nullptr; }

  std::size_t payload() const noexcept { return payload_; }
  unsigned count() const noexcept { return static_cast<unsigned>(leases_.size()); }
  unsigned leased() const noexcept { return leased_; }
  unsigned limit() const noexcept { return max_; }

 private:
  internal::Lease& lease_at(std::byte* slab, unsigned index) const noexcept;

  internal::Backend* backend_ = nullptr;
  BufferClass kind_ = BufferClass::kRelay;
  bool open_ = false;
  unsigned first_ = 0;
  unsigned max_ = 0;
  unsigned leased_ = 0;
  std::size_t payload_ = 0;
  std::size_t stride_ = 0;
  std::vector<std::byte*> slabs_;
  std::vector<internal::Lease*> leases_;  // by id
  internal::BufferWaiter* first_waiter_ = nullptr;
  internal::BufferWaiter* last_waiter_ = nullptr;
};

}  // namespace mesh::io
