#pragma once
// TCP sockets, listeners and datagram sockets of one Ring.
//
// A descriptor is made inside the network namespace it is asked for (setns, socket, setns back; the
// namespace of a socket is fixed when it is made).

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "mesh/base/result.h"
#include "mesh/io/buffer.h"
#include "mesh/io/event.h"
#include "mesh/io/patience.h"
#include "mesh/io/ring.h"
#include "mesh/io/task.h"
#include "mesh/io/tcp_keepalive.h"
#include "mesh/net/address.h"
#include "mesh/net/netns.h"

namespace mesh::io {

// Anything the relay can copy between: a TCP socket, an HBONE stream, or a test double.
// recv_buffer(): at least one byte, or an empty Buffer at end of stream; so does next_buffer().
// send_all(): accepted for sending, all of it, or an Error; how much was sent then is unknown.
template <class S>
concept ByteStream = requires(S stream, std::span<const std::byte> out) {
  stream.recv_buffer();
  stream.next_buffer();
  stream.send_all(out);
  stream.finish_sending();
  stream.reset();
};

namespace internal {
class Receiver;

// See Socket::next_buffer().
class [[nodiscard]] NextBuffer {
 public:
  NextBuffer(Receiver& receiver, BufferClass kind) noexcept;
  bool await_ready() const noexcept { return false; }
  template <class Caller>
  bool await_suspend(std::coroutine_handle<Caller> caller) noexcept {
    return must_wait(caller.promise().cancel) && wait_.await_suspend(caller);
  }
  Result<Buffer> await_resume() noexcept;

 private:
  bool must_wait(const CancelScope* scope) noexcept;

  Receiver& receiver_;
  WaitList::Wait wait_;
  BufferClass kind_;
  bool cancelled_ = false;
  bool waits_ = false;
};
}  // namespace internal

// A connected TCP socket. Owns its descriptor; TCP_NODELAY is on. One reader and one writer at a
// time. Destroy only when no operation is in flight (rule 2 of task.h gives that).
class Socket {
 public:
  struct Impl;
  static constexpr std::size_t kReadAheadBytes = 65536;

  explicit Socket(std::unique_ptr<Impl> impl);
  Socket(Socket&&) noexcept;
  Socket& operator=(Socket&&) noexcept;
  ~Socket();  // closes: FIN, or RST when received bytes were not read

  // At least one byte, or an empty Buffer at end of stream. Reads into memory of the ring: an idle
  // connection holds none. Multishot underneath while the caller keeps up.
  // Limits: a caller that does not keep up is read ahead for kReadAheadBytes at most (twice
  // Ring::bulk_share() in bulk), and once for 32 buffers on kernels before 6.17. When the
  // ring has no buffer left it waits for one. Errors: kPeerReset, kCancelled. After kCancelled
  // nothing is lost: the next call goes on.
  Task<Result<Buffer>> recv_buffer(BufferClass kind = BufferClass::kRelay);
  // The same without a frame, where an idle connection waits: for co_await in the expression that
  // makes it.
  internal::NextBuffer next_buffer(BufferClass kind = BufferClass::kRelay) noexcept;
  // What was read ahead, if anything: for gathering several buffers into one send.
  std::optional<Buffer> take_ready() noexcept;
  // Reads into the caller's memory; 0 at end of stream. May be mixed with recv_buffer().
  Task<Result<std::size_t>> recv(std::span<std::byte> into);

  Task<Result<Done>> send_all(std::span<const std::byte> bytes, const Patience* patience = nullptr);
  // Gathers. Both the list of pieces and what they point at stay alive until the Task is done.
  Task<Result<Done>> send_all(std::span<const std::span<const std::byte>> pieces,
                              const Patience* patience = nullptr);
  // A receive is under way, and nothing has come of it: no bytes, no end, no error.
  bool quiet() const noexcept;

  // No more bytes will follow; the peer reads end of stream (FIN). Not while a send is in flight.
  Result<Done> finish_sending() noexcept;
  // Gives up at once: RST, and the socket is closed. Operations in flight complete with an Error.
  void reset() noexcept;

  net::SocketAddress local_address() const noexcept;  // for a captured connection: what was dialled
  net::SocketAddress peer_address() const noexcept;

  // The shortest round trip that TCP has measured, the handshake's included; none when it has not.
  std::optional<Duration> shortest_round_trip() const noexcept;
  // By what algorithm the kernel sends from now on; empty: by the system's own. A kernel that has
  // none of that name keeps the present one: nothing depends on it.
  void use_congestion_control(std::string_view name) noexcept;
  std::string congestion_control() const;

  // Waits until the peer resets, without consuming bytes: for noticing that an application gave up
  // while we connect on its behalf. An end of stream is no hang-up, with or without data before it:
  // who has finished sending may still want to hear the answer. Errors: kCancelled.
  Task<Result<Done>> wait_hang_up();

 private:
  std::unique_ptr<Impl> impl_;
};

struct ConnectOptions {
  net::SocketAddress to;
  // Connect from this address (IP_TRANSPARENT and IP_FREEBIND, so it need not be local).
  std::optional<net::IpAddress> from{};
  std::optional<std::uint32_t> mark{};  // SO_MARK: for routing only, never for trust
  // Until finish_sending() the peer reads a reset, not an end of stream, however the socket goes:
  // also when this process is killed. Not for what has an end of its own (TLS): a reset may be
  // lost.
  bool reset_unless_finished = false;
  bool same_host = false;                        // see ListenOptions
  std::string_view congestion_control{};         // see ListenOptions
  std::optional<TcpKeepalive> keepalive{};       // none: the peer is not asked
  const net::NetworkNamespace* netns = nullptr;  // nullptr: the process's own
  Duration deadline = std::chrono::seconds(10);
};
// Errors: kRefused, kUnreachable, kTimedOut, kExhausted (no descriptor left), kCancelled.
Task<Result<Socket>> connect(Ring& ring, ConnectOptions options);

struct ListenOptions {
  net::SocketAddress at;     // [::]:PORT is dual-stack; 0.0.0.0:PORT is IPv4 alone
  bool transparent = false;  // accept connections to addresses that are not local (TPROXY)
  bool reuse_port = true;
  // The peer runs on this machine's kernel: there is no path whose rate has to be found out, so the
  // system's congestion control, which may pace every segment with a timer (BBR), is not used.
  bool same_host = false;
  bool reset_unless_finished = false;  // of what is accepted; see ConnectOptions
  // Of what is accepted, by name (outlives the call); empty: the system's own. See
  // Socket::use_congestion_control().
  std::string_view congestion_control{};
  int backlog = 1024;
  std::optional<std::uint32_t> mark{};
  const net::NetworkNamespace* netns = nullptr;
};

// Accepts connections, multishot underneath.
class Listener {
 public:
  struct Impl;
  static Result<Listener> listen(Ring& ring, const ListenOptions& options);
  Listener(Listener&&) noexcept;
  Listener& operator=(Listener&&) noexcept;
  ~Listener();

  // Errors: kExhausted (EMFILE, ENFILE): wait, then call again; the listener stays usable.
  Task<Result<Socket>> accept();
  net::SocketAddress local_address() const noexcept;
  // No further accept() succeeds; one in flight ends with kCancelled. Connections that the kernel
  // had already completed but were not accepted are reset.
  void close() noexcept;

 private:
  explicit Listener(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// A UDP socket. `local` of each datagram is the address and port that were dialled, which with
// `transparent` need not be ours; send_to() may then speak from any IP address. The port it speaks
// from is always the one it is bound to: to answer from another, open one bound there.
class DatagramSocket {
 public:
  struct Impl;
  struct Datagram {
    net::SocketAddress peer;
    net::SocketAddress local;
    std::size_t size = 0;
    bool truncated = false;  // it was longer than the memory given
  };
  static Result<DatagramSocket> open(Ring& ring, const ListenOptions& options);
  DatagramSocket(DatagramSocket&&) noexcept;
  DatagramSocket& operator=(DatagramSocket&&) noexcept;
  ~DatagramSocket();

  // Hears only `peer` from here on. When a router or the peer's host says that nothing arrives
  // there, recv_from() ends with kRefused or kUnreachable.
  Result<Done> connect(net::SocketAddress peer);

  Task<Result<Datagram>> recv_from(std::span<std::byte> into);
  Task<Result<Done>> send_to(std::span<const std::byte> bytes, net::SocketAddress peer,
                             std::optional<net::SocketAddress> from = std::nullopt);
  net::SocketAddress local_address() const noexcept;

 private:
  explicit DatagramSocket(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::io
