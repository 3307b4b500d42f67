#pragma once
// A gRPC server on mesh/grpc's own transport, for tests and simulations: hands each message to a
// handler, and does what a bad server does when told to.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mesh/grpc/framing.h"
#include "mesh/grpc/status.h"
#include "mesh/h2/connection.h"
#include "mesh/io/ring.h"
#include "mesh/io/socket.h"
#include "mesh/io/task.h"
#include "mesh/io/task_scope.h"
#include "mesh/tls/context.h"
#include "test/support/test_ca.h"

namespace mesh::test {

class GrpcServer;

// One call, as the server sees it. Valid until its connection ends or it was finished.
class ServerCall {
 public:
  virtual ~ServerCall() = default;
  virtual const h2::Headers& headers() const = 0;
  virtual void send(std::string_view message) = 0;
  virtual void send_raw(std::string_view bytes) = 0;  // without framing
  virtual void finish(const grpc::Status& status) = 0;
  virtual void reset(h2::ErrorCode code) = 0;
};

// What a service does with its calls.
class Service {
 public:
  virtual ~Service() = default;
  virtual void on_call(ServerCall&) {}
  virtual void on_message(ServerCall& call, std::string message) = 0;
  virtual void on_client_done(ServerCall&) {}
  virtual void on_gone(ServerCall&) {}  // last: finished, reset or lost
};

class GrpcServer {
 public:
  // Listens at once; `services` by path ("/package.Service/Method").
  GrpcServer(io::Ring& ring, std::shared_ptr<const tls::Context> context, net::SocketAddress at,
             std::map<std::string, Service*> services);
  ~GrpcServer();

  net::SocketAddress address() const;
  io::Task<void> run();  // until cancelled
  // Ends every connection that is open, without a word.
  void cut_connections();
  // GOAWAY on every connection.
  void drain_connections();
  void send_goaway(h2::ErrorCode code);
  std::size_t connections() const;
  std::uint64_t accepted() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// A serving context for `ip` and "control.test", valid around `now`.
std::shared_ptr<const tls::Context> control_context(const TestCa& ca, tls::WallSeconds now,
                                                    const std::string& ip = "127.0.0.1");

}  // namespace mesh::test
