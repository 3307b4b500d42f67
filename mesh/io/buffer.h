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
inline constexpr std::size_t kHeadroom = 32;
inline constexpr std::size_t kTailroom = 32;
inline constexpr std::size_t kRelayBytes = 16384 - 9;
inline constexpr std::size_t kWireBytes = 65536;

class BufferPool;  // internal; one per ring and class

// Owns its lease; returns it to the pool of its ring when destroyed (on the ring's thread).
// Empty (size 0, no lease) when default constructed and at end of stream.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  std::span<std::byte> bytes() noexcept { return {begin_, size_}; }
  std::span<const std::byte> bytes() const noexcept { return {begin_, size_}; }
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  // Drops bytes from the front (they become headroom) or from the back (tailroom).
  void drop_front(std::size_t count) noexcept;
  void drop_back(std::size_t count) noexcept;
  // Writable bytes before bytes().begin() and after bytes().end(); kHeadroom and kTailroom at least
  // in a buffer that was just received.
  std::size_t headroom() const noexcept;
  std::size_t tailroom() const noexcept;
  // Extends the view over headroom or tailroom. Checked.
  std::byte* grow_front(std::size_t count) noexcept;
  std::byte* grow_back(std::size_t count) noexcept;

 private:
  friend class BufferPool;
  BufferPool* pool_ = nullptr;
  std::byte* begin_ = nullptr;
  std::uint32_t size_ = 0;
  std::uint32_t id_ = 0;
};

}  // namespace mesh::io
