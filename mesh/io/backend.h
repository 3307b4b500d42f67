#pragma once
// The seam between mesh/io and what is under it. Everything in this folder is written once on top
// of it; the folders uring/ and sim/ each implement it, and a program links one of them.
//
// Internal to mesh/io: nobody above includes this.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "mesh/base/result.h"
#include "mesh/io/buffer.h"
#include "mesh/io/patience.h"
#include "mesh/io/ring.h"
#include "mesh/io/tcp_keepalive.h"
#include "mesh/net/address.h"
#include "mesh/net/netns.h"

namespace mesh::io::internal {

enum class Opcode : std::uint8_t {
  kAccept,         // result: a handle. Multishot
  kConnect,        // `memory`, `length` are a sockaddr
  kReceive,        // into `memory`, `length`
  kReceiveBuffer,  // into provided buffers of `buffers`. Multishot, until `length` bytes have come
                   // where the kernel can count; each answer fills one buffer, or with `at_once`
                   // as many as so many bytes need. A kernel that cannot count does the latter once
  kSend,           // from `memory`, `length`; a short result only before an error
  kSendGather,     // `memory` is a msghdr with pieces only; otherwise as kSend
  kReceiveFrom,    // `memory` is a DatagramIo
  kSendTo,         // `memory` is a DatagramIo
  kPoll,           // until one of the events in `flags`; result: the events
};

struct Submission {
  Opcode opcode;
  bool multishot = false;
  bool expect_wait = false;  // nothing is there yet: do not try before waiting
  BufferClass buffers = BufferClass::kRelay;
  int handle = -1;
  unsigned flags = 0;  // MSG_ or POLL
  void* memory = nullptr;
  std::size_t length = 0;
  std::size_t at_once = 0;
  // Of a send: see patience.h. It may then be short, or answer EAGAIN.
  const Patience* patience = nullptr;
};

// A datagram on its way. Lives in the frame that awaits it.
struct DatagramIo {
  std::byte* memory = nullptr;
  std::size_t length = 0;
  net::SocketAddress peer;
  std::optional<net::SocketAddress> local;
  bool to_connected = false;  // `peer` is whom hear_only() named
  bool truncated = false;
  alignas(8) std::array<std::byte, 320> scratch;  // the back end's own; uninitialised
};

struct Completion {
  int result = 0;        // not negative: the answer; negative: minus an errno
  bool more = false;     // a multishot operation goes on
  bool pending = false;  // after a receive: more bytes wait in the socket
  // Filled provided buffers, in order: all full but the last. They are the receiver's now.
  std::span<const std::uint16_t> buffers;
};

// What the back end borrows from submit() until the completion that has no `more`.
class Operation {
 public:
  Operation() = default;
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  // Only ever called from the top of the loop, so it may resume a coroutine and destroy itself.
  virtual void on_completion(const Completion& completion) = 0;

  bool in_flight() const noexcept { return in_flight_; }

 protected:
  ~Operation() { MESH_CHECK(!in_flight_); }

 private:
  friend class Backend;
  bool in_flight_ = false;
  std::uint64_t token_ = 0;  // the back end's own, as is:
  int handle_ = -1;
};

enum class SocketType : std::uint8_t { kStream, kListener, kDatagram };

struct SocketSpec {
  SocketType type = SocketType::kStream;
  net::SocketAddress bind;  // a stream socket is bound only when `bind_source`
  bool bind_source = false;
  bool family_v6 = false;
  bool transparent = false;
  bool reuse_port = false;
  bool same_host = false;                    // of a stream, and of what a listener accepts
  bool reset_unless_finished = false;        // the same
  std::string_view congestion_control = {};  // the same
  std::optional<TcpKeepalive> keepalive = {};
  int backlog = 0;
  std::optional<std::uint32_t> mark;
  const net::NetworkNamespace* netns = nullptr;
};

struct PortWindow {
  std::uint16_t first;
  std::uint16_t last;
};

enum class CloseHow : std::uint8_t { kGraceful, kReset };

class Backend {
 public:
  static Result<std::unique_ptr<Backend>> create(Ring::Impl& ring, const RingOptions& options);
  ~Backend();

  // Never fails: what cannot be started completes with an error, later, like everything else.
  void submit(Operation& operation, const Submission& submission) noexcept;
  // A request: the operation still completes, with ECANCELED or with what had happened already.
  void cancel(Operation& operation) noexcept;
  unsigned in_flight() const noexcept;

  // Gives memory to receive into. `id` comes back in Completion::buffers.
  void provide(BufferClass kind, std::uint16_t id, std::byte* memory, std::size_t length) noexcept;
  // Called before the first provide() of a kind; `count_max` ids at most will be provided.
  Result<Done> open_pool(BufferClass kind, unsigned count_max) noexcept;

  TimePoint now() const noexcept;
  WallTime wall_now() const noexcept;
  std::uint64_t random() noexcept;

  // Makes the loop turn once more. Any thread.
  void wake() noexcept;
  // Turns the loop until ring.finished().
  void drive() noexcept;

  // Sockets. A handle is a descriptor, or the simulator's number for a socket.
  Result<int> open_socket(const SocketSpec& spec) noexcept;
  void close(int handle, CloseHow how) noexcept;
  // Of a socket that connects from an address and has no port yet: it gets one of `ports`, or, when
  // none is free, kConnect answers EADDRNOTAVAIL and may be tried again; none: any port again.
  // False: this back end or kernel cannot.
  bool choose_port_among(int handle, std::optional<PortWindow> ports) noexcept;
  Result<Done> finish_sending(int handle) noexcept;
  // Of a datagram socket. See DatagramSocket::connect().
  Result<Done> hear_only(int handle, const net::SocketAddress& peer) noexcept;
  // Breaks a stream at once (RST); the handle stays open, operations in flight complete.
  void abort(int handle) noexcept;
  net::SocketAddress local_address(int handle) const noexcept;
  net::SocketAddress peer_address(int handle) const noexcept;
  // Bytes in the socket, or 0 at end of stream; none when there is neither (yet).
  std::optional<std::size_t> readable(int handle) const noexcept;
  // See Socket.
  std::optional<Duration> shortest_round_trip(int handle) const noexcept;
  void use_congestion_control(int handle, std::string_view name) noexcept;
  std::string congestion_control(int handle) const;
  // After a kReceiveFrom that succeeded: fills peer, local and truncated.
  void finish_receive_from(DatagramIo& datagram) const noexcept;

 private:
  struct State;
  explicit Backend(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace mesh::io::internal
