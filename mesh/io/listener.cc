#include <utility>

#include "mesh/io/acceptor.h"
#include "mesh/io/socket.h"
#include "mesh/io/socket_impl.h"

namespace mesh::io {

struct Listener::Impl {
  Ring& ring;
  std::unique_ptr<internal::Acceptor, internal::Acceptor::Retire> acceptor;
  net::SocketAddress address;
};

Result<Listener> Listener::listen(Ring& ring, const ListenOptions& options) {
  internal::Backend& backend = *ring.impl().backend;
  const internal::SocketSpec spec{.type = internal::SocketType::kListener,
                                  .bind = options.at,
                                  .bind_source = true,
                                  .family_v6 = options.at.ip.is_v6(),
                                  .transparent = options.transparent,
                                  .reuse_port = options.reuse_port,
                                  .same_host = options.same_host,
                                  .reset_unless_finished = options.reset_unless_finished,
                                  .congestion_control = options.congestion_control,
                                  .backlog = options.backlog,
                                  .mark = options.mark,
                                  .netns = options.netns};
  TRY(const int handle, backend.open_socket(spec));
  auto* acceptor = new internal::Acceptor(ring, handle);
  return Listener(std::unique_ptr<Impl>(
      new Impl{ring, decltype(Impl::acceptor)(acceptor), backend.local_address(handle)}));
}

Listener::Listener(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Listener::Listener(Listener&&) noexcept = default;
Listener& Listener::operator=(Listener&&) noexcept = default;
Listener::~Listener() = default;

Task<Result<Socket>> Listener::accept() {
  CO_TRY(const int handle, co_await impl_->acceptor->accept());
  co_return Socket::Impl::make(impl_->ring, handle);
}

net::SocketAddress Listener::local_address() const noexcept { return impl_->address; }
void Listener::close() noexcept { impl_->acceptor->close(); }

}  // namespace mesh::io
