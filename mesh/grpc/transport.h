#pragma once
// Transport: HTTP/2 over TLS on one socket, either role: moves bytes between the two sans-I/O cores
// and the ring. Under Channel, and under the servers of tests.

#include <memory>
#include <optional>
#include <vector>

#include "mesh/base/result.h"
#include "mesh/h2/connection.h"
#include "mesh/io/event.h"
#include "mesh/io/ring.h"
#include "mesh/io/socket.h"
#include "mesh/io/task.h"
#include "mesh/io/task_scope.h"
#include "mesh/tls/context.h"
#include "mesh/tls/session.h"

namespace mesh::grpc {

class Transport {
 public:
  // `events` outlives it.
  Transport(io::Ring& ring, io::Socket socket, const h2::Options& options, h2::Events& events);
  ~Transport();  // not while run() is under way

  // The TLS handshake; put a deadline around it.
  io::Task<Result<Done>> handshake(std::shared_ptr<const tls::Context> context);

  // Moves bytes until the connection ends, or run() is cancelled; says goodbye either way (within a
  // second) and returns why it ended. Open streams have got on_reset() then.
  io::Task<Error> run();

  h2::Connection& h2() { return h2_; }
  // After any call on h2() that may have made something to send.
  void kick() { work_.set(); }

  // Why it ended; none while it runs.
  const std::optional<Error>& error() const { return error_; }

  std::uint64_t bytes_received() const { return bytes_received_; }
  std::uint64_t bytes_sent() const { return bytes_sent_; }

 private:
  io::Task<void> part(io::Task<Result<Done>> task, io::TaskScope& scope);
  io::Task<Result<Done>> read();
  io::Task<Result<Done>> write();
  io::Task<Result<Done>> keep_time();
  io::Task<Result<Done>> flush();
  Result<Done> gather(std::vector<tls::Piece>& ciphertext);
  io::Task<Result<Done>> send(std::vector<tls::Piece> ciphertext);
  Result<Done> deliver(std::vector<tls::Slice>& plaintext);

  io::Ring& ring_;
  io::Socket socket_;
  h2::Connection h2_;
  std::unique_ptr<tls::Session> session_;
  std::vector<tls::Slice> early_;  // came with the end of the handshake
  io::Event work_;
  std::optional<Error> error_;
  std::uint64_t bytes_received_ = 0;
  std::uint64_t bytes_sent_ = 0;
  bool torn_ = false;  // a send ended in the middle
};

}  // namespace mesh::grpc
