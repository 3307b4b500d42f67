// Sessions of TLS 1.2, which only servers outside the mesh may choose: their records stay the
// library's.

#include <openssl/err.h>

#include <array>
#include <utility>

#include "mesh/tls/session_impl.h"

namespace mesh::tls {

Result<Done> SessionImpl::read_tls12(const Slice& wire, std::vector<Slice>& plaintext) {
  if (state != Session::State::kOpen) return Done{};
  if (!wire.empty() && BIO_write_all(in, wire.bytes().data(), wire.bytes().size()) != 1) {
    return fail({.reason = Reason::kExhausted, .during = "tls receive"});
  }
  std::array<std::byte, 16 * 1024> memory;
  for (;;) {
    ERR_clear_error();
    const int got = SSL_read(ssl.get(), memory.data(), static_cast<int>(memory.size()));
    flush_handshake();  // an alert, perhaps
    if (got > 0) {
      plaintext.push_back(Slice::copy_of(std::span(memory).first(static_cast<std::size_t>(got))));
      continue;
    }
    const int why = SSL_get_error(ssl.get(), got);
    ERR_clear_error();
    if (why == SSL_ERROR_WANT_READ) return Done{};
    if (why == SSL_ERROR_ZERO_RETURN) {
      state = Session::State::kPeerClosed;
      return Done{};
    }
    return fail({.reason = Reason::kProtocol, .during = "tls record"});
  }
}

Result<Done> SessionImpl::seal_tls12(std::span<const std::byte> bytes) {
  ERR_clear_error();
  // Into memory: all of it, or the session is broken.
  const int wrote =
      bytes.empty() ? 0 : SSL_write(ssl.get(), bytes.data(), static_cast<int>(bytes.size()));
  flush_handshake();
  if (wrote == static_cast<int>(bytes.size())) return Done{};
  ERR_clear_error();
  return fail({.reason = Reason::kProtocol, .during = "tls send"});
}

void SessionImpl::close_tls12() {
  if (std::exchange(close_sent, true)) return;
  SSL_shutdown(ssl.get());
  ERR_clear_error();
  flush_handshake();
}

}  // namespace mesh::tls
