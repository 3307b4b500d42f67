#pragma once
// TlsWire: TLS on a wire, as a cluster asks for it: on a socket, or inside a tunnel.

#include <deque>
#include <memory>
#include <vector>

#include "mesh/io/event.h"
#include "mesh/io/ring.h"
#include "mesh/tls/session.h"
#include "waypoint/wire/wire.h"

namespace mesh::waypoint::wire {

// An end without close_notify is kPeerReset: what was cut off never looks whole. Our own
// close_notify goes out with the next recv(), or the one that waits.
class TlsWire final : public Wire {
 public:
  // Shakes hands; put a deadline around it. Errors: those of tls::Session::feed().
  static io::Task<Result<std::unique_ptr<Wire>>> connect(
      io::Ring& ring, std::unique_ptr<Wire> below, std::shared_ptr<const tls::Context> context);

  TlsWire(io::Ring& ring, std::unique_ptr<Wire> below)
      : ring_(ring), below_(std::move(below)), may_send_(ring), finish_(ring) {}
  io::Task<Result<tls::Slice>> recv() override;
  io::Task<Result<Done>> send_all(std::span<const std::byte> bytes) override;
  io::Task<Result<Done>> send_piece(tls::Piece piece) override {
    co_return co_await send_all(piece.bytes());
  }
  Result<Done> finish_sending() override;
  void reset() override { below_->reset(); }
  bool quiet() const override {
    return ready_.empty() && session_->state() == tls::Session::State::kOpen && below_->quiet();
  }

 private:
  io::Task<Result<Done>> shake_hands(std::shared_ptr<const tls::Context> context);
  io::Task<Result<Done>> feed(tls::Slice ciphertext);
  io::Task<Result<tls::Slice>> receive();
  io::Task<Result<Done>> wait_turn();
  io::Task<Result<Done>> flush();
  io::Task<Result<Done>> send(std::vector<tls::Piece> ciphertext);

  io::Ring& ring_;
  std::unique_ptr<Wire> below_;
  std::unique_ptr<tls::Session> session_;
  std::deque<tls::Slice> ready_;  // plaintext that came
  io::Event may_send_;            // pulses
  io::Event finish_;              // asked for
  bool sending_ = false;
  bool torn_ = false;  // a send was cut off: what follows could not be read
  bool said_goodbye_ = false;
};

}  // namespace mesh::waypoint::wire
