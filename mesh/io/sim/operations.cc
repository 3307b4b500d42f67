// How operations end: what io_uring answers when a socket of the model has something to say.

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "mesh/io/sim/ring_state.h"
#include "mesh/io/sim/socket.h"

namespace mesh::io::sim {

using internal::Opcode;
using internal::SocketType;

namespace {

// How often the kernel tries again within one issue of a multishot receive.
constexpr int kMultishotRounds = 32;

// The `index`th byte on of what a kSend or kSendGather has to say.
std::span<const std::byte> rest_of(const internal::Submission& submission, std::size_t done) {
  if (submission.opcode == Opcode::kSend) {
    return {static_cast<const std::byte*>(submission.memory) + done, submission.length - done};
  }
  const auto& message = *static_cast<const msghdr*>(submission.memory);
  for (std::size_t piece = 0; piece < message.msg_iovlen; ++piece) {
    const iovec& vector = message.msg_iov[piece];
    if (done < vector.iov_len) {
      return {static_cast<const std::byte*>(vector.iov_base) + done, vector.iov_len - done};
    }
    done -= vector.iov_len;
  }
  return {};
}

}  // namespace

void SimSocket::start(const Pending& operation) {
  if (operation.submission.opcode == Opcode::kConnect) {
    pending.push_back(operation);
    return connect(operation);
  }
  pending.push_back(operation);
  advance();
}

// Completions are queued, not run, so nothing changes `pending` under this loop.
void SimSocket::advance() {
  for (std::size_t index = 0; index < pending.size();) {
    if (advance_one(pending[index]) == Progress::kEnded) {
      pending.erase(pending.begin() + static_cast<std::ptrdiff_t>(index));
    } else {
      ++index;
    }
  }
}

SimSocket::Progress SimSocket::advance_one(Pending& operation) {
  switch (operation.submission.opcode) {
    case Opcode::kAccept:
      return advance_accept(operation);
    case Opcode::kConnect:
      return Progress::kWaits;  // ended by the handshake
    case Opcode::kReceive:
      return advance_receive(operation);
    case Opcode::kReceiveBuffer:
      return advance_receive_buffers(operation);
    case Opcode::kSend:
    case Opcode::kSendGather:
      return advance_send(operation);
    case Opcode::kReceiveFrom:
      return advance_receive_from(operation);
    case Opcode::kSendTo:
      return send_to(operation);
    case Opcode::kPoll:
      return advance_poll(operation);
  }
  return Progress::kWaits;
}

bool SimSocket::cancel(std::uint64_t token) {
  const auto found = std::ranges::find(pending, token, &Pending::token);
  if (found == pending.end()) return false;
  // A send that was under way answers with what it has sent.
  const bool sending =
      found->submission.opcode == Opcode::kSend || found->submission.opcode == Opcode::kSendGather;
  const bool partly = sending && found->done > 0;
  const int result = partly ? static_cast<int>(found->done) : -ECANCELED;
  found->ring->complete(found->operation, result);
  pending.erase(found);
  return true;
}

void SimSocket::fail_all(int error) {
  for (const Pending& operation : std::exchange(pending, {})) {
    operation.ring->complete(operation.operation, -error);
  }
}

SimSocket::Progress SimSocket::advance_accept(Pending& operation) {
  const Faults& faults = core.options.faults;
  while (!backlog.empty()) {
    if (!core.descriptors_left() || core.random.chance(faults.accept_exhausted)) {
      operation.ring->complete(operation.operation, core.random.chance(0.5) ? -EMFILE : -ENFILE);
      return Progress::kEnded;
    }
    const std::shared_ptr<Connection> taken = backlog.front();
    backlog.pop_front();
    internal::SocketSpec spec;
    spec.type = SocketType::kStream;
    spec.reset_unless_finished = reset_unless_finished;
    if (congestion_control) spec.congestion_control = *congestion_control;
    SimSocket& accepted = core.add_socket(std::make_unique<SimSocket>(core, host, spec));
    accepted.exempt = exempt;
    accepted.owner = operation.ring->id;
    accepted.connection = taken;
    accepted.side = 1;
    accepted.local = taken->half(1).local;
    taken->half(1).socket = &accepted;
    const bool more = operation.submission.multishot && !core.random.chance(faults.multishot_ends);
    operation.ring->complete(operation.operation, accepted.handle, more);
    if (!more) return Progress::kEnded;
  }
  return Progress::kWaits;
}

SimSocket::Progress SimSocket::advance_receive(Pending& operation) {
  const Half* own = half();
  if (own == nullptr) {
    operation.ring->complete(operation.operation, -ENOTCONN);
    return Progress::kEnded;
  }
  auto* memory = static_cast<std::byte*>(operation.submission.memory);
  std::size_t size = operation.submission.length;
  if (core.random.chance(core.options.faults.short_receive)) size = 1 + core.random.below(size);
  size = std::min(size, operation.submission.length);
  const std::size_t got = connection->read(side, {memory, size});
  if (got > 0 || own->at_end() || operation.submission.length == 0) {
    operation.ring->complete(operation.operation, static_cast<int>(got));
  } else if (own->reset) {
    operation.ring->complete(operation.operation, -ECONNRESET);
  } else {
    return Progress::kWaits;
  }
  return Progress::kEnded;
}

SimSocket::Progress SimSocket::advance_receive_buffers(Pending& operation) {
  const Half* own = half();
  const Faults& faults = core.options.faults;
  const internal::Submission& submission = operation.submission;
  auto end = [&](int result) {
    operation.ring->complete(operation.operation, result);
    return Progress::kEnded;
  };
  if (own == nullptr) return end(-ENOTCONN);
  std::deque<Provided>& provided = operation.ring->provided_of(submission.buffers);
  for (int round = 0; !own->unread.empty(); ++round) {
    if (provided.empty() || core.random.chance(faults.no_buffer)) return end(-ENOBUFS);
    // In bulk as many buffers as it takes (a bundle), else one an answer.
    std::vector<std::uint16_t> filled;
    std::size_t total = 0;
    const bool bulk = submission.at_once > 0;
    std::size_t most = bulk ? submission.at_once : provided.front().length;
    if (!faults.short_read_ahead) most = std::min(most, submission.length - operation.done);
    if (core.random.chance(faults.short_receive)) most = 1 + core.random.below(most);
    while (total < most && !provided.empty() && !own->unread.empty()) {
      const Provided buffer = provided.front();
      provided.pop_front();
      const std::size_t size = std::min(buffer.length, most - total);
      total += connection->read(side, {buffer.memory, size});
      filled.push_back(buffer.id);
    }
    operation.done += total;
    const bool limited = !faults.short_read_ahead && operation.done >= submission.length;
    const bool once = bulk && faults.short_read_ahead;
    const bool more =
        !once && !limited && round < kMultishotRounds && !core.random.chance(faults.multishot_ends);
    operation.ring->complete(operation.operation, static_cast<int>(total), more,
                             !own->unread.empty(), std::move(filled));
    if (!more) return Progress::kEnded;
  }
  if (own->at_end()) return end(0);
  if (own->reset) return end(-ECONNRESET);
  return Progress::kWaits;
}

SimSocket::Progress SimSocket::advance_send(Pending& operation) {
  Half* own = half();
  const bool dead = own == nullptr || own->reset || own->finish_wanted;
  if (dead) {
    const int error = own != nullptr && own->reset ? -ECONNRESET : -EPIPE;
    operation.ring->complete(operation.operation,
                             operation.done > 0 ? static_cast<int>(operation.done) : error);
    return Progress::kEnded;
  }
  for (;;) {
    const auto rest = rest_of(operation.submission, operation.done);
    if (rest.empty()) break;
    const std::size_t size = std::min(rest.size(), connection->room(side));
    if (size == 0) return Progress::kWaits;
    connection->write(side, rest.first(size));
    operation.done += size;
  }
  operation.ring->complete(operation.operation, static_cast<int>(operation.done));
  return Progress::kEnded;
}

SimSocket::Progress SimSocket::advance_poll(Pending& operation) {
  const Half* own = half();
  unsigned seen = 0;
  if (own == nullptr || own->reset) {
    seen = POLLERR | POLLHUP;
  } else if (own->at_end()) {
    seen = POLLRDHUP;
    if (own->finish_sent) seen |= POLLHUP;
  }
  // Errors and a complete hang-up are reported whether asked for or not.
  seen &= operation.submission.flags | POLLERR | POLLHUP;
  if (seen == 0) return Progress::kWaits;
  operation.ring->complete(operation.operation, static_cast<int>(seen));
  return Progress::kEnded;
}

SimSocket::Progress SimSocket::advance_receive_from(Pending& operation) {
  if (datagrams.empty()) {
    if (told_error == 0) return Progress::kWaits;
    operation.ring->complete(operation.operation, -std::exchange(told_error, 0));
    return Progress::kEnded;
  }
  const SimDatagram datagram = std::move(datagrams.front());
  datagrams.pop_front();
  auto& io = *static_cast<internal::DatagramIo*>(operation.submission.memory);
  const std::size_t size = std::min(io.length, datagram.bytes.size());
  if (size > 0) std::memcpy(io.memory, datagram.bytes.data(), size);
  io.peer = datagram.peer;
  io.local = datagram.local;
  io.truncated = size < datagram.bytes.size();
  operation.ring->complete(operation.operation, static_cast<int>(size));
  return Progress::kEnded;
}

}  // namespace mesh::io::sim
