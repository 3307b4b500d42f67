#include "mesh/io/buffer_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>
#include <utility>

#include "mesh/base/check.h"
#include "mesh/io/backend.h"

namespace mesh::io {

using internal::Lease;

BufferPool::~BufferPool() {
  MESH_CHECK(leased_ == 0);  // a Buffer may not outlive its ring
  for (std::byte* slab : slabs_) munmap(slab, stride_ * kSlab);
}

void BufferPool::set_up(internal::Backend& backend, BufferClass kind, unsigned first,
                        unsigned max) noexcept {
  backend_ = &backend;
  kind_ = kind;
  payload_ = kind == BufferClass::kRelay ? kRelayBytes : kWireBytes;
  const std::size_t bytes = sizeof(Lease) + kHeadroom + payload_ + kTailroom;
  stride_ = (bytes + alignof(Lease) - 1) / alignof(Lease) * alignof(Lease);
  max_ = std::clamp(max, kSlab, 16384U);
  first_ = std::min(first, max_);
}

Result<Done> BufferPool::open() noexcept {
  if (open_) return Done{};
  TRY_DO(backend_->open_pool(kind_, max_));
  open_ = true;
  do {
    if (!grow()) break;
  } while (count() < first_);
  if (count() == 0) return failed(Reason::kExhausted, "allocate buffers");
  return Done{};
}

bool BufferPool::grow() noexcept {
  if (count() + kSlab > max_) return false;
  void* memory =
      mmap(nullptr, stride_ * kSlab, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return false;
  auto* slab = static_cast<std::byte*>(memory);
  slabs_.push_back(slab);
  for (unsigned index = 0; index < kSlab; ++index) {
    auto* lease = new (slab + index * stride_) Lease;
    lease->pool = this;
    lease->room = static_cast<std::uint32_t>(stride_ - sizeof(Lease));
    lease->id = static_cast<std::uint16_t>(leases_.size());
    leases_.push_back(lease);
    backend_->provide(kind_, lease->id, lease->begin() + kHeadroom, payload_);
  }
  return true;
}

void BufferPool::make_room(std::size_t bytes) noexcept {
  while ((count() - leased_) * payload_ < bytes && grow()) {
  }
}

Lease& BufferPool::fill(std::uint16_t id, std::size_t size) noexcept {
  MESH_CHECK(id < leases_.size() && size <= payload_);
  Lease& lease = *leases_[id];
  MESH_CHECK(lease.references == 0);
  lease.references = 1;
  lease.unread_begin = lease.begin() + kHeadroom;
  lease.unread = size;
  lease.next_unread = nullptr;
  ++leased_;
  return lease;
}

Buffer BufferPool::buffer_of(Lease& lease) noexcept {
  return {&lease, lease.unread_begin, lease.unread};
}

void BufferPool::release(Lease& lease) noexcept {
  --leased_;
  backend_->provide(kind_, lease.id, lease.begin() + kHeadroom, payload_);
  internal::BufferWaiter* waiter = first_waiter_;
  if (waiter == nullptr) return;
  forget(*waiter);
  waiter->on_buffer_available();
}

void BufferPool::wait(internal::BufferWaiter& waiter) noexcept {
  MESH_CHECK(!waiter.waits_);
  waiter.waits_ = true;
  waiter.next_waiter_ = nullptr;
  waiter.previous_waiter_ = last_waiter_;
  (last_waiter_ != nullptr ? last_waiter_->next_waiter_ : first_waiter_) = &waiter;
  last_waiter_ = &waiter;
}

void BufferPool::forget(internal::BufferWaiter& waiter) noexcept {
  if (!std::exchange(waiter.waits_, false)) return;
  internal::BufferWaiter* next = waiter.next_waiter_;
  internal::BufferWaiter* previous = waiter.previous_waiter_;
  (previous != nullptr ? previous->next_waiter_ : first_waiter_) = next;
  (next != nullptr ? next->previous_waiter_ : last_waiter_) = previous;
}

}  // namespace mesh::io
