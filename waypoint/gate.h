#pragma once
// Gate: what arrives in tunnels. Each CONNECT names a service or a pod; its chain says what is
// spoken inside, or the first bytes do.

#include <memory>
#include <set>
#include <string>

#include "mesh/hbone/tunnel_server.h"
#include "mesh/identity/certificate_view.h"
#include "waypoint/context.h"
#include "waypoint/wire/h1_server.h"
#include "waypoint/wire/h2_session.h"

namespace mesh::waypoint {

// Threads: those of its ring.
class Gate final : public hbone::ConnectHandler {
 public:
  Gate(RingContext& context, Upstreams::Identity identity);
  ~Gate() override;

  io::Task<void> on_connect(hbone::IncomingConnect connect) override;

  // What runs ends soon: HTTP/1.1 after the response under way, HTTP/2 by GOAWAY.
  void drain();
  std::size_t connections() const { return running_.size(); }

 private:
  struct Inside;  // one CONNECT's stream

  io::Task<void> serve(std::unique_ptr<hbone::IncomingConnect> connect);
  io::Task<Result<Done>> speak(Inside& inside);
  io::Task<Result<Done>> speak_http1(Inside& inside, wire::Wire& wire);
  io::Task<Result<Done>> speak_http2(Inside& inside, wire::Wire& wire);
  io::Task<Result<Done>> sniff(Inside& inside);
  io::Task<Result<Done>> sniff_http(Inside& inside, tls::Slice first);

  RingContext& context_;
  Upstreams::Identity identity_;
  std::set<Inside*> running_;
};

}  // namespace mesh::waypoint
