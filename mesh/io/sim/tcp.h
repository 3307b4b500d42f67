#pragma once
// A TCP connection as its two programs can observe it: segments, a window, slow start, FIN, RST.
// Loss is late arrival; segments are put back in order. Internal to mesh/io/sim.

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "mesh/io/sim/core.h"

namespace mesh::io::sim {

class ByteQueue {
 public:
  std::size_t size() const noexcept { return bytes_.size() - head_; }
  bool empty() const noexcept { return size() == 0; }
  void append(std::span<const std::byte> bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  std::span<const std::byte> front(std::size_t count) const noexcept {
    return std::span(bytes_).subspan(head_, count);
  }
  void drop(std::size_t count) noexcept;
  void clear() noexcept;

 private:
  std::vector<std::byte> bytes_;
  std::size_t head_ = 0;
};

// One end of a connection.
struct Half {
  SimSocket* socket = nullptr;  // none: in a backlog, or closed by its program
  Host::State* host = nullptr;
  net::SocketAddress local;
  net::SocketAddress peer;

  ByteQueue unsent;
  std::uint64_t sent = 0;  // sequence numbers count bytes from 0
  std::uint64_t acknowledged = 0;
  std::uint64_t allowed = 0;     // what the peer's window reaches to
  std::uint64_t congestion = 0;  // bytes that may be under way
  bool finish_wanted = false;
  bool finish_sent = false;

  ByteQueue unread;
  std::map<std::uint64_t, std::vector<std::byte>> early;  // arrived before what precedes it
  std::uint64_t arrived = 0;
  std::uint64_t advertised = 0;
  std::optional<std::uint64_t> finish_at;
  bool abandoned = false;  // its program has closed it: nobody reads
  bool reset = false;

  bool at_end() const noexcept { return finish_at && *finish_at == arrived; }
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  explicit Connection(World::Core& core) noexcept;

  Half& half(int side) noexcept { return halves_[static_cast<std::size_t>(side)]; }

  // Room in the send buffer of that side.
  std::size_t room(int side) noexcept;
  void write(int side, std::span<const std::byte> bytes);
  // Takes up to `into.size()` bytes of what has arrived.
  std::size_t read(int side, std::span<std::byte> into);
  void finish(int side);
  // RST to the peer, and what this side has is gone.
  void reset(int side);
  // The program of this side is gone.
  void abandon(int side);

 private:
  void push(int side);
  void send_segment(int side, std::size_t size);
  void segment_arrives(int side, std::uint64_t at, std::vector<std::byte> bytes);
  void finish_arrives(int side, std::uint64_t at);
  void acknowledge(int side);
  void acknowledgement_arrives(int side, std::uint64_t up_to, std::uint64_t allowed);
  void kick(int side);

  World::Core& core_;
  std::array<Half, 2> halves_;
};

}  // namespace mesh::io::sim
