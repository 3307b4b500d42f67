#pragma once
// Buffer: bytes leased from a ring's pool of provided buffers, handed out filled by recv.
//
// A relay buffer leaves room in front for a TLS record header (5) and an HTTP/2 frame header (9),
// and behind for the content type and the AEAD tag (17), so that what was received can be framed,
// sealed in place and sent without a copy. Its capacity makes one DATA frame of one full record.

#include <cstddef>
#include <cstdint>
#include <span>

namespace mesh::io {

enum class BufferClass : std::uint8_t {
  kRelay,  // kRelayBytes of payload: application data
  kWire,   // kWireBytes: ciphertext of a tunnel, several records
};
inline constexpr std::size_t kBufferClasses = 2;
inline constexpr std::size_t kHeadroom = 32;
inline constexpr std::size_t kTailroom = 32;
inline constexpr std::size_t kRelayBytes = 16384 - 9;
inline constexpr std::size_t kWireBytes = 65536;

namespace internal {
struct Lease;
}

// Shares a lease on memory; the last one returns it. On the ring's thread, and not after the ring
// is gone. Empty (size 0, no lease) when default constructed and at end of stream.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  // From the heap, of no ring: `capacity` writable bytes between headroom and tailroom, all of them
  // in view. For producers other than a socket, and for tests.
  static Buffer allocate(std::size_t capacity);
  static Buffer copy_of(std::span<const std::byte> bytes);

  std::span<std::byte> bytes() noexcept { return {begin_, size_}; }
  std::span<const std::byte> bytes() const noexcept { return {begin_, size_}; }
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }

  // Drops bytes from the front (they become headroom) or from the back (tailroom). Checked.
  void drop_front(std::size_t count) noexcept;
  void drop_back(std::size_t count) noexcept;
  // Writable bytes before bytes().begin() and after bytes().end(); kHeadroom and kTailroom at least
  // in a buffer that was just received.
  std::size_t headroom() const noexcept;
  std::size_t tailroom() const noexcept;
  // Extends the view over headroom or tailroom, and returns where the new bytes begin. Checked.
  std::byte* grow_front(std::size_t count) noexcept;
  std::byte* grow_back(std::size_t count) noexcept;

  // A view of `count` bytes from `offset`, sharing this lease: the memory returns when both are
  // gone. Whoever writes through one must know what the others see; room is counted for each as if
  // it were alone.
  Buffer slice(std::size_t offset, std::size_t count) const noexcept;

 private:
  friend class BufferPool;
  Buffer(internal::Lease* lease, std::byte* begin, std::size_t size) noexcept
      : lease_(lease), begin_(begin), size_(size) {}

  internal::Lease* lease_ = nullptr;
  std::byte* begin_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace mesh::io
