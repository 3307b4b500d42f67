#pragma once
// GrpcServer: port 15012. TLS with our own serving certificate; every call is authenticated by its
// bearer token before a handler sees it; then delta ADS (ads_session.h) or CreateCertificate
// (ca_server.h). Everything else is UNIMPLEMENTED.
//
// grpc++ is included by grpc_server.cc and nowhere else: it takes long to compile.
//
// Limits: 32 MiB a message, 100 calls a connection, metadata of 16 KiB; a connection that does not
// answer a ping (every 30 s) within 10 s is closed.

#include <memory>
#include <string>

#include "control/ca_server.h"
#include "control/hub.h"
#include "control/tokens.h"
#include "mesh/telemetry/log.h"

namespace mesh::control {

struct GrpcOptions {
  std::string address = "[::]:15012";
  KeyPair identity;
};

class GrpcServer {
 public:
  // nullptr: the address cannot be listened on.
  static std::unique_ptr<GrpcServer> start(const GrpcOptions& options, Hub& hub, CaServer& ca,
                                           Tokens& tokens, telemetry::Log& log);
  // Ends all calls and waits for them.
  ~GrpcServer();
  GrpcServer(const GrpcServer&) = delete;
  GrpcServer& operator=(const GrpcServer&) = delete;

  // What was bound, when the address asked for any (":0").
  int port() const { return port_; }

 private:
  struct Impl;
  GrpcServer(std::unique_ptr<Impl> impl, int port);
  std::unique_ptr<Impl> impl_;
  int port_;
};

}  // namespace mesh::control
