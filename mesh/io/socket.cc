#include "mesh/io/socket.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "mesh/io/await_operation.h"
#include "mesh/io/receiver.h"
#include "mesh/io/socket_impl.h"
#include "mesh/io/timer.h"

namespace mesh::io {

using internal::AwaitOperation;
using internal::CloseHow;
using internal::Opcode;
using internal::Submission;

Socket Socket::Impl::make(Ring& ring, int handle) {
  return Socket(std::make_unique<Impl>(ring, handle));
}

// A peer that still had bytes for us to read learns that they were not (RFC 2525, 2.17), also
// when we hold them and the kernel does not.
void Socket::Impl::retire(std::unique_ptr<Impl> impl) noexcept {
  if (impl == nullptr) return;
  if (impl->receiver.has_unread()) impl->close_how = CloseHow::kReset;
  impl->retired = true;
  if (impl->receiver.stop(*impl)) {
    impl->close();
  } else {
    impl.release();  // on_receiver_stopped() deletes it
  }
}

void Socket::Impl::on_receiver_stopped() noexcept {
  if (!retired) return;
  close();
  delete this;
}

void Socket::Impl::close() noexcept { backend().close(handle, close_how); }

Socket::Socket(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Socket::Socket(Socket&&) noexcept = default;
Socket& Socket::operator=(Socket&& other) noexcept {
  if (this != &other) Impl::retire(std::exchange(impl_, std::move(other.impl_)));
  return *this;
}
Socket::~Socket() { Impl::retire(std::move(impl_)); }

namespace internal {

NextBuffer::NextBuffer(Receiver& receiver, BufferClass kind) noexcept
    : receiver_(receiver), wait_(receiver.arrived()), kind_(kind) {}

bool NextBuffer::must_wait(const CancelScope* scope) noexcept {
  cancelled_ = scope != nullptr && scope->requested();
  waits_ = !cancelled_ && receiver_.must_wait(kind_);
  return waits_;
}

Result<Buffer> NextBuffer::await_resume() noexcept {
  if (cancelled_ || (waits_ && !wait_.await_resume())) return failed(Reason::kCancelled, "recv");
  return receiver_.take_outcome();
}

}  // namespace internal

Task<Result<Buffer>> Socket::recv_buffer(BufferClass kind) {
  co_return co_await internal::NextBuffer(impl_->receiver, kind);
}
internal::NextBuffer Socket::next_buffer(BufferClass kind) noexcept {
  return {impl_->receiver, kind};
}
std::optional<Buffer> Socket::take_ready() noexcept { return impl_->receiver.take_ready(); }
Task<Result<std::size_t>> Socket::recv(std::span<std::byte> into) {
  return impl_->receiver.receive_into(into);
}

namespace {

// What a socket nearly always takes at once.
constexpr std::size_t kPatientMax = 32 * 1024;

// How much was sent. A patient send may find no room: then the next one waits for it.
Result<std::size_t> sent_of(const Result<std::size_t>& outcome, const Patience*& patience) {
  const bool was_patient = std::exchange(patience, nullptr) != nullptr;
  if (!outcome && was_patient && outcome.error().os_errno == EAGAIN) return 0;
  return outcome;
}

}  // namespace

Task<Result<Done>> Socket::send_all(std::span<const std::byte> bytes, const Patience* patience) {
  if (bytes.size() > kPatientMax) patience = nullptr;
  while (!bytes.empty()) {
    if (impl_->aborted) co_return failed(Reason::kCancelled, "send");
    const Submission send{.opcode = Opcode::kSend,
                          .handle = impl_->handle,
                          .memory = const_cast<std::byte*>(bytes.data()),
                          .length = bytes.size(),
                          .patience = patience};
    const auto outcome = co_await AwaitOperation(impl_->ring, "send", send);
    CO_TRY(const std::size_t sent, sent_of(outcome, patience));
    bytes = bytes.subspan(sent);
  }
  co_return Done{};
}

// At most kAtOnce pieces a kernel operation.
Task<Result<Done>> Socket::send_all(std::span<const std::span<const std::byte>> pieces,
                                    const Patience* patience) {
  static constexpr std::size_t kAtOnce = 40;
  std::array<iovec, kAtOnce> vectors;
  std::size_t skip = 0;  // bytes of the first piece that are sent
  while (!pieces.empty()) {
    if (impl_->aborted) co_return failed(Reason::kCancelled, "send");
    std::size_t count = 0;
    std::size_t size = 0;
    for (; count < std::min(kAtOnce, pieces.size()); ++count) {
      vectors[count] = {const_cast<std::byte*>(pieces[count].data()), pieces[count].size()};
      size += pieces[count].size();
    }
    vectors[0].iov_base = static_cast<std::byte*>(vectors[0].iov_base) + skip;
    vectors[0].iov_len -= skip;
    if (size > kPatientMax || count < pieces.size()) patience = nullptr;
    msghdr message{};
    message.msg_iov = vectors.data();
    message.msg_iovlen = count;
    const Submission send{.opcode = Opcode::kSendGather,
                          .handle = impl_->handle,
                          .memory = &message,
                          .length = size - skip,
                          .patience = patience};
    const auto outcome = co_await AwaitOperation(impl_->ring, "send", send);
    CO_TRY(std::size_t sent, sent_of(outcome, patience));
    sent += skip;
    while (!pieces.empty() && sent >= pieces.front().size()) {
      sent -= pieces.front().size();
      pieces = pieces.subspan(1);
    }
    skip = sent;
  }
  co_return Done{};
}

bool Socket::quiet() const noexcept { return impl_->receiver.quiet(); }

Result<Done> Socket::finish_sending() noexcept {
  if (impl_->aborted) return failed(Reason::kCancelled, "shutdown");
  return impl_->backend().finish_sending(impl_->handle);
}

void Socket::reset() noexcept {
  if (std::exchange(impl_->aborted, true)) return;
  impl_->close_how = CloseHow::kReset;
  impl_->backend().abort(impl_->handle);
  impl_->receiver.stop(*impl_);
}

net::SocketAddress Socket::local_address() const noexcept {
  return impl_->backend().local_address(impl_->handle);
}
net::SocketAddress Socket::peer_address() const noexcept {
  return impl_->backend().peer_address(impl_->handle);
}
std::optional<Duration> Socket::shortest_round_trip() const noexcept {
  return impl_->backend().shortest_round_trip(impl_->handle);
}
void Socket::use_congestion_control(std::string_view name) noexcept {
  impl_->backend().use_congestion_control(impl_->handle, name);
}
std::string Socket::congestion_control() const {
  return impl_->backend().congestion_control(impl_->handle);
}

// io_uring reports POLLRDHUP whether it was asked for or not, and at once each time: after a
// half-close the only way to learn of a later reset is to look again now and then.
Task<Result<Done>> Socket::wait_hang_up() {
  constexpr Duration kLookAgain = std::chrono::milliseconds(50);
  for (;;) {
    if (impl_->aborted) co_return Done{};
    const Submission poll{
        .opcode = Opcode::kPoll, .handle = impl_->handle, .flags = POLLHUP | POLLERR};
    CO_TRY(const std::size_t seen, co_await AwaitOperation(impl_->ring, "wait for hang-up", poll));
    if ((seen & (POLLHUP | POLLERR)) != 0) co_return Done{};
    CO_TRY_DO(co_await sleep_for(impl_->ring, kLookAgain));
  }
}

// Closed connections keep their ports for a minute. When half of a namespace's ports to one server
// are kept so, the kernel looks at some ten thousand before it finds a free one, and nothing else
// happens meanwhile. In a few ports taken at random it finds one soon, or soon says that there is
// none. These lie in the range that namespaces have unless they were told otherwise.
static internal::PortWindow some_ports(Ring& ring) noexcept {
  constexpr std::uint16_t kFirst = 32768, kCount = 28232, kWindow = 128;
  const auto window = static_cast<std::uint16_t>(ring.random() % (kCount / kWindow));
  const auto first = static_cast<std::uint16_t>(kFirst + window * kWindow);
  return {.first = first, .last = static_cast<std::uint16_t>(first + kWindow - 1)};
}

Task<Result<Socket>> connect(Ring& ring, ConnectOptions options) {
  constexpr int kWindows = 3;  // then wherever there is one
  internal::Backend& backend = *ring.impl().backend;
  const internal::SocketSpec spec{.type = internal::SocketType::kStream,
                                  .bind = {options.from.value_or(net::IpAddress()), 0},
                                  .bind_source = options.from.has_value(),
                                  .family_v6 = options.to.ip.is_v6(),
                                  .transparent = options.from.has_value(),
                                  .same_host = options.same_host,
                                  .reset_unless_finished = options.reset_unless_finished,
                                  .congestion_control = options.congestion_control,
                                  .keepalive = options.keepalive,
                                  .mark = options.mark,
                                  .netns = options.netns};
  CO_TRY(const int handle, backend.open_socket(spec));
  Socket socket = Socket::Impl::make(ring, handle);

  sockaddr_storage address;
  const socklen_t length = options.to.to_sockaddr(address);
  CancelScope* outer = co_await current_cancel();
  internal::Deadline deadline(ring, options.deadline, outer);
  const Submission connect{
      .opcode = Opcode::kConnect, .handle = handle, .memory = &address, .length = length};
  Result<std::size_t> connected = std::size_t{0};
  for (int tried = 0; tried <= kWindows; ++tried) {
    std::optional<internal::PortWindow> ports;
    if (options.from && tried < kWindows) ports = some_ports(ring);
    const bool limited = options.from && backend.choose_port_among(handle, ports) && ports;
    connected = co_await AwaitOperation(ring, "connect", connect, &deadline.scope);
    if (connected) co_return socket;
    if (!limited || connected.error().os_errno != EADDRNOTAVAIL) break;
  }
  const bool stopped = connected.error().reason == Reason::kCancelled;
  if (stopped && deadline.passed() && (outer == nullptr || !outer->requested())) {
    co_return failed(Reason::kTimedOut, "connect");
  }
  co_return std::unexpected(connected.error());
}

}  // namespace mesh::io
