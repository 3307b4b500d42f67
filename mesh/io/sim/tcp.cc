#include "mesh/io/sim/tcp.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "mesh/io/sim/socket.h"

namespace mesh::io::sim {
namespace {

constexpr std::size_t kHeaderBytes = 66;
constexpr std::uint64_t kFirstWindow = std::uint64_t{10} * 1448;  // RFC 6928
// An update of the window is worth a packet when it opens by as much.
constexpr std::uint64_t kWindowStep = 65536;

}  // namespace

void ByteQueue::drop(std::size_t count) noexcept {
  head_ += count;
  if (head_ == bytes_.size()) return clear();
  if (head_ < bytes_.size() / 2) return;
  bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(head_));
  head_ = 0;
}

void ByteQueue::clear() noexcept {
  bytes_.clear();
  head_ = 0;
}

Connection::Connection(World::Core& core) noexcept : core_(core) {
  for (Half& half : halves_) {
    half.allowed = core.options.receive_buffer;
    half.advertised = core.options.receive_buffer;
    half.congestion = kFirstWindow;
  }
}

std::size_t Connection::room(int side) noexcept {
  const Half& own = half(side);
  const std::size_t used = own.unsent.size() + (own.sent - own.acknowledged);
  const std::size_t limit = core_.options.send_buffer;
  return used >= limit ? 0 : limit - used;
}

void Connection::write(int side, std::span<const std::byte> bytes) {
  half(side).unsent.append(bytes);
  push(side);
}

void Connection::finish(int side) {
  half(side).finish_wanted = true;
  push(side);
}

void Connection::push(int side) {
  Half& own = half(side);
  while (!own.unsent.empty()) {
    const std::uint64_t limit = std::min(own.allowed, own.acknowledged + own.congestion);
    if (own.sent >= limit) return;
    const std::size_t size = std::min({own.unsent.size(), core_.options.segment_bytes,
                                       static_cast<std::size_t>(limit - own.sent)});
    send_segment(side, size);
  }
  if (!own.finish_wanted || own.finish_sent) return;
  own.finish_sent = true;
  const Host::State* to = half(1 - side).host;
  if (to == nullptr) return;  // nobody has the address
  core_.carry(
      *own.host, *to, kHeaderBytes, Loss::kRepaired,
      [self = shared_from_this(), side, at = own.sent] { self->finish_arrives(1 - side, at); });
}

void Connection::send_segment(int side, std::size_t size) {
  Half& own = half(side);
  const auto bytes = own.unsent.front(size);
  std::vector<std::byte> copy(bytes.begin(), bytes.end());
  own.unsent.drop(size);
  const std::uint64_t at = own.sent;
  own.sent += size;
  const Host::State& to = *half(1 - side).host;
  if (core_.tap && own.host != &to) core_.tap(own.host->face, to.face, at, copy);
  core_.carry(*own.host, *half(1 - side).host, size + kHeaderBytes, Loss::kRepaired,
              [self = shared_from_this(), side, at, copy = std::move(copy)]() mutable {
                self->segment_arrives(1 - side, at, std::move(copy));
              });
}

void Connection::segment_arrives(int side, std::uint64_t at, std::vector<std::byte> bytes) {
  Half& own = half(side);
  if (own.reset) return;
  if (own.abandoned) return reset(side);  // nobody will read it: RFC 1122, 4.2.2.13
  core_.note(Happening::kSegment, at, bytes.size());
  own.early.emplace(at, std::move(bytes));
  while (!own.early.empty() && own.early.begin()->first == own.arrived) {
    own.unread.append(own.early.begin()->second);
    own.arrived += own.early.begin()->second.size();
    own.early.erase(own.early.begin());
  }
  acknowledge(side);
  kick(side);
}

void Connection::finish_arrives(int side, std::uint64_t at) {
  Half& own = half(side);
  if (own.reset) return;
  own.finish_at = at;
  core_.note(Happening::kSegment, at, 0);
  kick(side);
}

void Connection::acknowledge(int side) {
  Half& own = half(side);
  own.advertised = own.arrived + core_.options.receive_buffer -
                   std::min(own.unread.size(), core_.options.receive_buffer);
  core_.carry(*own.host, *half(1 - side).host, kHeaderBytes, Loss::kRepaired,
              [self = shared_from_this(), side, up_to = own.arrived, allowed = own.advertised] {
                self->acknowledgement_arrives(1 - side, up_to, allowed);
              });
}

void Connection::acknowledgement_arrives(int side, std::uint64_t up_to, std::uint64_t allowed) {
  Half& own = half(side);
  if (own.reset) return;
  if (up_to > own.acknowledged) {
    const std::uint64_t most = core_.options.send_buffer;
    own.congestion = std::min(own.congestion + (up_to - own.acknowledged), most);
    own.acknowledged = up_to;
  }
  own.allowed = std::max(own.allowed, allowed);
  push(side);
  kick(side);
}

std::size_t Connection::read(int side, std::span<std::byte> into) {
  Half& own = half(side);
  const std::size_t size = std::min(into.size(), own.unread.size());
  if (size == 0) return 0;
  std::memcpy(into.data(), own.unread.front(size).data(), size);
  own.unread.drop(size);
  const std::uint64_t edge = own.arrived + core_.options.receive_buffer -
                             std::min(own.unread.size(), core_.options.receive_buffer);
  if (edge >= own.advertised + kWindowStep && !own.reset) acknowledge(side);
  return size;
}

void Connection::reset(int side) {
  Half& own = half(side);
  if (std::exchange(own.reset, true)) return;
  own.unsent.clear();
  own.unread.clear();
  own.early.clear();
  core_.carry(*own.host, *half(1 - side).host, kHeaderBytes, Loss::kRepaired,
              [self = shared_from_this(), side] {
                Half& peer = self->half(1 - side);
                if (std::exchange(peer.reset, true)) return;
                peer.unsent.clear();
                self->core_.note(Happening::kSegment, ~std::uint64_t{0}, 0);
                self->kick(1 - side);
              });
  kick(side);
}

void Connection::abandon(int side) {
  Half& own = half(side);
  own.socket = nullptr;
  own.abandoned = true;
  if (own.reset) return;
  if (own.unread.empty() && own.early.empty()) return finish(side);
  reset(side);
}

void Connection::kick(int side) {
  if (SimSocket* socket = half(side).socket) socket->advance();
}

}  // namespace mesh::io::sim
