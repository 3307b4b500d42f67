#include <utility>

#include "mesh/io/await_operation.h"
#include "mesh/io/socket.h"

namespace mesh::io {

using internal::AwaitOperation;
using internal::DatagramIo;
using internal::Opcode;
using internal::Submission;

struct DatagramSocket::Impl {
  Impl(Ring& on, int taken) noexcept : ring(on), handle(taken) {}
  ~Impl() { backend().close(handle, internal::CloseHow::kGraceful); }
  internal::Backend& backend() noexcept { return *ring.impl().backend; }

  Ring& ring;
  int handle;
  std::optional<net::SocketAddress> connected;
};

Result<DatagramSocket> DatagramSocket::open(Ring& ring, const ListenOptions& options) {
  const internal::SocketSpec spec{.type = internal::SocketType::kDatagram,
                                  .bind = options.at,
                                  .bind_source = true,
                                  .family_v6 = options.at.ip.is_v6(),
                                  .transparent = options.transparent,
                                  .reuse_port = options.reuse_port,
                                  .mark = options.mark,
                                  .netns = options.netns};
  TRY(const int handle, ring.impl().backend->open_socket(spec));
  return DatagramSocket(std::make_unique<Impl>(ring, handle));
}

DatagramSocket::DatagramSocket(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DatagramSocket::DatagramSocket(DatagramSocket&&) noexcept = default;
DatagramSocket& DatagramSocket::operator=(DatagramSocket&&) noexcept = default;
DatagramSocket::~DatagramSocket() = default;

Result<Done> DatagramSocket::connect(net::SocketAddress peer) {
  TRY_DO(impl_->backend().hear_only(impl_->handle, peer));
  impl_->connected = peer;
  return Done{};
}

Task<Result<DatagramSocket::Datagram>> DatagramSocket::recv_from(std::span<std::byte> into) {
  DatagramIo io;
  io.memory = into.data();
  io.length = into.size();
  const Submission receive{.opcode = Opcode::kReceiveFrom, .handle = impl_->handle, .memory = &io};
  CO_TRY(const std::size_t size, co_await AwaitOperation(impl_->ring, "recv from", receive));
  impl_->backend().finish_receive_from(io);
  net::SocketAddress local = io.local.value_or(net::SocketAddress());
  if (local.port == 0) local.port = local_address().port;
  co_return Datagram{io.peer, local, size, io.truncated};
}

Task<Result<Done>> DatagramSocket::send_to(std::span<const std::byte> bytes,
                                           net::SocketAddress peer,
                                           std::optional<net::SocketAddress> from) {
  DatagramIo io;
  io.memory = const_cast<std::byte*>(bytes.data());
  io.length = bytes.size();
  io.peer = peer;
  io.local = from;
  io.to_connected = impl_->connected == peer;
  const Submission send{.opcode = Opcode::kSendTo, .handle = impl_->handle, .memory = &io};
  CO_TRY_DO(co_await AwaitOperation(impl_->ring, "send to", send));
  co_return Done{};
}

net::SocketAddress DatagramSocket::local_address() const noexcept {
  return impl_->backend().local_address(impl_->handle);
}

}  // namespace mesh::io
