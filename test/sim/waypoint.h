#pragma once
// A waypoint, as far as ztunnels can tell: it ends the tunnels of clients, proves an identity of
// its own, and opens tunnels to the endpoint of the service that was dialled. Bytes pass unread.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "mesh/hbone/tunnel_pool.h"
#include "mesh/hbone/tunnel_server.h"
#include "mesh/io/event.h"
#include "mesh/io/sim.h"
#include "mesh/io/task_scope.h"
#include "test/support/test_ca.h"

namespace mesh::sim {

class Waypoint final : public hbone::ConnectHandler {
 public:
  // The endpoint that serves an authority now; none: nobody does.
  struct Endpoint {
    net::SocketAddress address;
    std::string uid;
    net::SpiffeId id;
  };
  using Resolve = std::function<std::optional<Endpoint>(const std::string& authority)>;

  Waypoint(io::sim::World& world, io::sim::Host& host, const test::TestCa& ca, net::SpiffeId id,
           Resolve resolve);
  ~Waypoint() override;

  void serve();  // until stop()
  void stop();
  io::Ring& ring() { return *ring_; }

 private:
  io::Task<void> on_connect(hbone::IncomingConnect connect) override;
  io::Task<void> forward(std::unique_ptr<hbone::IncomingConnect> connect);
  io::Task<void> run();
  io::Task<void> accept_all();
  io::Task<void> serve_one(io::Socket socket);

  io::sim::World& world_;
  const net::SpiffeId id_;
  const Resolve resolve_;
  std::unique_ptr<io::Ring> ring_;
  std::shared_ptr<const tls::Context> as_server_, as_client_;
  hbone::TunnelServer server_;
  hbone::TunnelPool pool_;
  io::Event stopped_;
  std::optional<io::Listener> listener_;
  io::TaskScope scope_;
};

}  // namespace mesh::sim
