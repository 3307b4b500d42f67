#include "waypoint/wire/wire.h"

namespace mesh::waypoint::wire {

io::Task<Result<tls::Slice>> SocketWire::recv() {
  CO_TRY(io::Buffer buffer, co_await socket_.recv_buffer());
  if (buffer.empty()) co_return tls::Slice{};
  co_return tls::Slice(std::move(buffer));
}

io::Task<Result<Done>> SocketWire::send_piece(tls::Piece piece) {
  co_return co_await socket_.send_all(piece.bytes());
}

io::Task<Result<tls::Slice>> PrefixedWire::recv() {
  if (!first_.empty()) co_return std::exchange(first_, {});
  co_return co_await wire_.recv();
}

io::Task<Result<Done>> linger(Wire& wire, std::size_t limit) {
  for (std::size_t dropped = 0; dropped <= limit;) {
    CO_TRY(const tls::Slice ignored, co_await wire.recv());
    if (ignored.empty()) co_return Done{};
    dropped += ignored.size();
  }
  co_return failed(Reason::kTooLarge, "linger");
}

}  // namespace mesh::waypoint::wire
