#pragma once
// GrpcServer: port 15012. TLS with our own serving certificate, and with the client's if it shows
// one that our authority signed. Of a call nothing is read before its caller is known (caller.h);
// then delta ADS (ads_session.h), for nodes, or CreateCertificate (ca_server.h). Everything else is
// UNIMPLEMENTED.
//
// grpc++ is included by grpc_server.cc and nowhere else: it takes long to compile.
//
// Limits: 32 MiB a message, 100 calls a connection, metadata of 16 KiB; a connection that does not
// answer a ping (every 30 s) within 10 s is closed.

#include <memory>
#include <string>

#include "control/ca_server.h"
#include "control/caller.h"
#include "control/hub.h"
#include "mesh/telemetry/log.h"

namespace mesh::control {

struct GrpcOptions {
  std::string address = "[::]:15012";
  // A folder with key.pem and cert.pem, which is shown to clients, and roots.pem, which theirs are
  // verified by. Read again every few seconds, so they can be replaced.
  std::string identity;
};

// Writes these files, each whole.
Result<Done> write_serving_identity(const std::string& folder, const KeyPair& identity,
                                    const std::string& roots_pem);

class GrpcServer {
 public:
  // nullptr: the address cannot be listened on.
  static std::unique_ptr<GrpcServer> start(const GrpcOptions& options, Hub& hub, CaServer& ca,
                                           Authenticator& callers, telemetry::Log& log);
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
