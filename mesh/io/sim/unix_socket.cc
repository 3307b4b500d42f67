// Unix-domain sockets carry descriptors, and the simulated world has none: not modelled. Whoever
// speaks over one is simulated at its message seam.

#include "mesh/io/unix_socket.h"

#include <cerrno>

namespace mesh::io {

struct SeqpacketSocket::Impl {};
struct SeqpacketListener::Impl {};

namespace {
constexpr const char* kDuring = "Unix socket, which is not simulated";
}

Task<Result<SeqpacketSocket>> SeqpacketSocket::connect(Ring&, std::string) {
  co_return failed_with_errno(EOPNOTSUPP, kDuring);
}
SeqpacketSocket::SeqpacketSocket(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SeqpacketSocket::SeqpacketSocket(SeqpacketSocket&&) noexcept = default;
SeqpacketSocket& SeqpacketSocket::operator=(SeqpacketSocket&&) noexcept = default;
SeqpacketSocket::~SeqpacketSocket() = default;

Task<Result<SeqpacketSocket::Message>> SeqpacketSocket::recv(std::span<std::byte>, std::size_t) {
  co_return failed_with_errno(EOPNOTSUPP, kDuring);
}
Task<Result<Done>> SeqpacketSocket::send(std::span<const std::byte>, std::span<const int>) {
  co_return failed_with_errno(EOPNOTSUPP, kDuring);
}
Result<SeqpacketSocket::Credentials> SeqpacketSocket::peer_credentials() const noexcept {
  return failed_with_errno(EOPNOTSUPP, kDuring);
}

Result<SeqpacketListener> SeqpacketListener::listen(Ring&, const std::string&, unsigned, int) {
  return failed_with_errno(EOPNOTSUPP, kDuring);
}
SeqpacketListener::SeqpacketListener(SeqpacketListener&&) noexcept = default;
SeqpacketListener& SeqpacketListener::operator=(SeqpacketListener&&) noexcept = default;
SeqpacketListener::~SeqpacketListener() = default;

Task<Result<SeqpacketSocket>> SeqpacketListener::accept() {
  co_return failed_with_errno(EOPNOTSUPP, kDuring);
}

}  // namespace mesh::io
