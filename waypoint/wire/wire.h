#pragma once
// Wire: a byte stream that HTTP is spoken on: a connection inside a tunnel, or a TCP socket.

#include <memory>
#include <span>
#include <utility>

#include "mesh/base/result.h"
#include "mesh/hbone/stream.h"
#include "mesh/io/socket.h"
#include "mesh/io/task.h"
#include "mesh/tls/piece.h"
#include "mesh/tls/slice.h"

namespace mesh::waypoint::wire {

// One reader and one writer at a time. Destroying one that has not ended resets it.
class Wire {
 public:
  virtual ~Wire() = default;
  // At least one byte, or empty at the end. Errors: see hbone::Stream and io::Socket; after
  // kCancelled nothing is lost.
  virtual io::Task<Result<tls::Slice>> recv() = 0;
  virtual io::Task<Result<Done>> send_all(std::span<const std::byte> bytes) = 0;
  virtual io::Task<Result<Done>> send_piece(tls::Piece piece) = 0;
  virtual Result<Done> finish_sending() = 0;
  virtual void reset() = 0;
  // Nothing has arrived, nothing has ended: as far as is known without asking.
  virtual bool quiet() const = 0;
};

class TunnelWire final : public Wire {
 public:
  explicit TunnelWire(hbone::Stream stream) : stream_(std::move(stream)) {}
  io::Task<Result<tls::Slice>> recv() override { return stream_.recv_buffer(); }
  io::Task<Result<Done>> send_all(std::span<const std::byte> bytes) override {
    return stream_.send_all(bytes);
  }
  io::Task<Result<Done>> send_piece(tls::Piece piece) override {
    return stream_.send_piece(std::move(piece));
  }
  Result<Done> finish_sending() override { return stream_.finish_sending(); }
  void reset() override { stream_.reset(); }
  bool quiet() const override { return stream_.quiet(); }
  hbone::Stream& stream() { return stream_; }

 private:
  hbone::Stream stream_;
};

class SocketWire final : public Wire {
 public:
  explicit SocketWire(io::Socket socket) : socket_(std::move(socket)) {}
  io::Task<Result<tls::Slice>> recv() override;
  io::Task<Result<Done>> send_all(std::span<const std::byte> bytes) override {
    return socket_.send_all(bytes);
  }
  io::Task<Result<Done>> send_piece(tls::Piece piece) override;
  Result<Done> finish_sending() override { return socket_.finish_sending(); }
  void reset() override { socket_.reset(); }
  bool quiet() const override { return true; }
  const io::Socket& socket() const { return socket_; }

 private:
  io::Socket socket_;
};

// A wire whose first bytes were read already, to find out what is spoken. Borrows `wire`.
class PrefixedWire final : public Wire {
 public:
  PrefixedWire(Wire& wire, tls::Slice first) : wire_(wire), first_(std::move(first)) {}
  io::Task<Result<tls::Slice>> recv() override;
  io::Task<Result<Done>> send_all(std::span<const std::byte> bytes) override {
    return wire_.send_all(bytes);
  }
  io::Task<Result<Done>> send_piece(tls::Piece piece) override {
    return wire_.send_piece(std::move(piece));
  }
  Result<Done> finish_sending() override { return wire_.finish_sending(); }
  void reset() override { wire_.reset(); }
  bool quiet() const override { return first_.empty() && wire_.quiet(); }

 private:
  Wire& wire_;
  tls::Slice first_;
};

// Discards what still comes until the end, `limit` bytes at most: so that our last words are read
// before the wire goes. The caller sets a deadline.
io::Task<Result<Done>> linger(Wire& wire, std::size_t limit);

}  // namespace mesh::waypoint::wire
