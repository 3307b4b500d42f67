#include "mesh/io/receiver.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "mesh/io/await_operation.h"
#include "mesh/io/socket.h"

namespace mesh::io::internal {

Receiver::~Receiver() { MESH_CHECK(first_ == nullptr && !wants_buffer_); }

bool Receiver::must_wait(BufferClass kind) noexcept {
  if (first_ != nullptr || error_ != 0 || ended_) return false;
  arm(kind);
  return error_ == 0;
}

Result<Buffer> Receiver::take_outcome() noexcept {
  if (first_ != nullptr) return take();
  if (error_ != 0) return failed_with_errno(error_, "recv");
  MESH_CHECK(ended_);
  return Buffer();
}

Task<Result<std::size_t>> Receiver::receive_into(std::span<std::byte> into) {
  CancelScope* scope = co_await current_cancel();
  for (;;) {
    if (scope != nullptr && scope->requested()) co_return failed(Reason::kCancelled, "recv");
    if (first_ != nullptr) {
      Lease& lease = *first_;
      const std::size_t size = std::min(into.size(), lease.unread);
      if (size > 0) std::memcpy(into.data(), lease.unread_begin, size);
      lease.unread_begin += size;
      lease.unread -= size;
      unread_ -= size;
      if (lease.unread == 0) take();
      co_return size;
    }
    if (error_ != 0) co_return failed_with_errno(error_, "recv");
    if (ended_) co_return 0;
    if (!in_flight() && !wants_buffer_) break;
    co_await arrived_.wait();
  }
  CO_TRY(const std::size_t size, co_await AwaitOperation(ring_, "recv",
                                                         {.opcode = Opcode::kReceive,
                                                          .handle = handle_,
                                                          .memory = into.data(),
                                                          .length = into.size()}));
  if (size == 0 && !into.empty()) ended_ = true;
  co_return size;
}

std::optional<Buffer> Receiver::take_ready() noexcept {
  if (first_ == nullptr) return std::nullopt;
  return take();
}

Buffer Receiver::take() noexcept {
  Lease& lease = *first_;
  first_ = lease.next_unread;
  if (first_ == nullptr) last_ = nullptr;
  unread_ -= lease.unread;
  // Submitted together with the send of what is handed out now.
  if (first_ == nullptr && error_ == 0 && !ended_) arm(kind_);
  return BufferPool::buffer_of(lease);
}

void Receiver::arm(BufferClass kind) noexcept {
  if (in_flight() || wants_buffer_) return;
  kind_ = kind;
  if (const auto opened = pool().open(); !opened) {
    error_ = opened.error().os_errno != 0 ? opened.error().os_errno : ENOBUFS;
    return;
  }
  submit_receive();
}

void Receiver::submit_receive() noexcept {
  cancelled_ = false;
  const std::size_t share = bulk_ ? ring_.impl().bulk_share(kind_) : 0;
  if (bulk_) pool().make_room(share);
  ++ring_.impl().parked;
  backend().submit(*this, {.opcode = Opcode::kReceiveBuffer,
                           .expect_wait = expect_wait_,
                           .buffers = kind_,
                           .handle = handle_,
                           .length = bulk_ ? 2 * share : Socket::kReadAheadBytes,
                           .at_once = share});
}

void Receiver::on_completion(const Completion& completion) {
  if (stopped_ != nullptr) return on_completion_stopped(completion);
  if (!completion.more) --ring_.impl().parked;
  append(completion);
  if (completion.result > 0) {
    expect_wait_ = !completion.pending;
    arrived_.wake_one();
    if (!completion.more) {
      // Several buffers at once: more is on its way, though the socket is empty just now.
      bulk_ = completion.pending || completion.buffers.size() > 1;
    } else if (!bulk_ && unread_ > Socket::kReadAheadBytes && !cancelled_) {
      bulk_ = true;
      cancelled_ = true;
      backend().cancel(*this);
    }
    return;
  }
  if (!completion.more) on_end(completion.result);
}

void Receiver::on_end(int result) noexcept {
  switch (-result) {
    case 0:
      ended_ = true;
      break;
    case ENOBUFS:
      // Every buffer was leased; some may have come back before this answer was read. With unread
      // bytes here the reader arms again when it gets to them.
      expect_wait_ = false;
      if (first_ != nullptr) return;
      if (pool().leased() < pool().count() || pool().grow()) return submit_receive();
      wants_buffer_ = true;
      return pool().wait(*this);
    case ECANCELED:  // we left multishot; or the kernel ended it under us
    case EINTR:
      if (first_ == nullptr && !arrived_.empty()) submit_receive();
      return;
    default:
      error_ = -result;
      break;
  }
  arrived_.wake_one();
}

void Receiver::on_buffer_available() noexcept {
  wants_buffer_ = false;
  submit_receive();
}

void Receiver::append(const Completion& completion) noexcept {
  std::size_t left = completion.result > 0 ? static_cast<std::size_t>(completion.result) : 0;
  for (const std::uint16_t id : completion.buffers) {
    const std::size_t size = std::min(left, pool().payload());
    left -= size;
    Lease& lease = pool().fill(id, size);
    if (size == 0) {
      BufferPool::buffer_of(lease);  // gives it back
      continue;
    }
    unread_ += size;
    (last_ != nullptr ? last_->next_unread : first_) = &lease;
    last_ = &lease;
  }
  MESH_CHECK(left == 0);
}

bool Receiver::stop(Stopped& stopped) noexcept {
  drop_unread();
  if (wants_buffer_) {
    pool().forget(*this);
    wants_buffer_ = false;
  }
  if (error_ == 0) error_ = ECANCELED;
  arrived_.wake_all();
  if (!in_flight()) return true;
  if (stopped_ == nullptr) {
    --ring_.impl().parked;  // from now on somebody waits for it
    backend().cancel(*this);
  }
  stopped_ = &stopped;
  return false;
}

void Receiver::on_completion_stopped(const Completion& completion) noexcept {
  append(completion);
  drop_unread();
  if (!completion.more) std::exchange(stopped_, nullptr)->on_receiver_stopped();
}

void Receiver::drop_unread() noexcept {
  while (first_ != nullptr) {
    Lease* lease = std::exchange(first_, first_->next_unread);
    BufferPool::buffer_of(*lease);  // gives it back
  }
  last_ = nullptr;
  unread_ = 0;
}

}  // namespace mesh::io::internal
