#pragma once
// What the tests of the waypoint share: a client behind a tunnel, a waypoint, and the node proxy of
// an endpoint whose application a test writes.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "mesh/hbone/test_world.h"
#include "waypoint/gate.h"
#include "waypoint/mirrors.h"
#include "waypoint/remote_keys.h"
#include "waypoint/tracer.h"
#include "waypoint/wire/h1_client.h"
#include "waypoint/wire/test_world.h"

namespace mesh::waypoint::test {

using io::test::bytes;
using io::test::text;

inline constexpr const char* kWeb = "spiffe://cluster.local/ns/shop/sa/web";
inline constexpr const char* kWaypoint = "spiffe://cluster.local/ns/shop/sa/waypoint";
inline constexpr const char* kCart = "spiffe://cluster.local/ns/shop/sa/cart";
inline constexpr const char* kService = "10.96.0.1:80";
inline constexpr const char* kTcpService = "10.96.0.1:6379";
inline constexpr const char* kEitherService = "10.96.0.1:9000";

struct Kept final : Recorder {
  std::vector<Record> records;
  std::size_t opened = 0;
  void record(const Caller&, const Record& record, io::Duration) override {
    records.push_back(record);
  }
  void tcp_opened(const Caller&, const Record&) override { ++opened; }
  const Record& last() const { return records.at(records.size() - 1); }
};

// An application behind its ztunnel: HTTP/1.1 or HTTP/2 by `version`, or raw bytes.
struct Application final : hbone::ConnectHandler {
  explicit Application(io::Ring& on) : ring(on) {}
  io::Ring& ring;
  wire::test::Handler handler;
  wire::Version version = wire::Version::kHttp1;
  wire::Http2Options http2 = {};
  std::function<io::Task<void>(wire::Wire&)> raw;
  int refuse_with = 0;
  std::vector<std::string> asked, peers;
  // Several endpoints: by port, what those do that are not as the others; requests that came.
  std::map<std::uint16_t, std::function<io::Task<void>(wire::ServerStream&)>> at;
  std::set<std::uint16_t> down;  // these refuse tunnels
  std::map<std::uint16_t, int> requests;

  struct AtPort final : wire::ServerHandler {
    AtPort(Application& of, std::uint16_t on) : application(of), port(on) {}
    Application& application;
    std::uint16_t port;
    io::Task<void> on_request(wire::ServerStream& stream) override {
      ++application.requests[port];
      const auto own = application.at.find(port);
      return own == application.at.end() ? application.handler.on_request(stream)
                                         : own->second(stream);
    }
    wire::Response on_bad_request(const wire::BadRequest& bad) override {
      return application.handler.on_bad_request(bad);
    }
  };

  io::Task<void> on_connect(hbone::IncomingConnect connect) override {
    return serve(std::make_unique<hbone::IncomingConnect>(std::move(connect)));
  }
  io::Task<void> serve(std::unique_ptr<hbone::IncomingConnect> connect) {
    asked.push_back(connect->request().authority);
    peers.push_back(connect->request().peer.to_string());
    const auto address = net::SocketAddress::parse(connect->request().authority);
    AtPort here(*this, address ? address->port : std::uint16_t{0});
    if (refuse_with != 0) co_return connect->refuse(refuse_with);
    if (down.contains(here.port)) co_return connect->refuse(503);
    auto stream = connect->accept();
    if (!stream) co_return;
    wire::TunnelWire wire(*std::move(stream));
    if (raw) {
      co_await raw(wire);
    } else if (version == wire::Version::kHttp1) {
      wire::Http1Server server(ring, wire, here, {});
      (void)co_await server.run();
    } else {
      wire::Http2Session session(ring, wire, &here, http2);
      (void)co_await session.run();
    }
  }
};

// Runs accepted connections of one server.
struct Tunnels {
  Tunnels(io::Ring& ring, hbone::ConnectHandler& handler, const tls::Credentials& credentials)
      : listener(io::test::make_listener(ring)),
        server(ring, {}, handler),
        context(tls::Context::for_mesh(tls::Role::kServer, credentials).value()) {}
  io::Listener listener;
  hbone::TunnelServer server;
  std::shared_ptr<const tls::Context> context;

  io::Task<void> serve_one(io::Socket socket) {
    (void)co_await server.serve(std::move(socket), context);
  }
  io::Task<void> accept(io::TaskScope& serving) {
    for (;;) {
      auto socket = co_await listener.accept();
      if (!socket) co_return;
      serving.spawn(serve_one(*std::move(socket)));
    }
  }
};

struct World {
  World();
  std::unique_ptr<io::Ring> ring = io::test::make_ring();
  mesh::test::TestCa ca;
  http::Dice dice{1};
  Kept kept;
  Application application{*ring};
  Tunnels endpoint{*ring, application, hbone::test::issue(ca, *ring, kCart)};
  // The waypoint.
  std::shared_ptr<identity::Certificate> certificate;
  hbone::TunnelPool upstream_tunnels{*ring, {}};
  Upstreams upstreams;
  Breakers breakers;
  HealthBoard health;
  Fleet fleet{*ring, dice, breakers, &health};
  Limiters limiters;
  io::Event changed{*ring};
  RingContext context;
  Mirrors mirrors{context};
  Tracer tracer{context, "waypoint-1"};
  RemoteKeys remote_keys{context};
  Gate gate;
  Tunnels front;
  // The client.
  hbone::TunnelPool client_tunnels{*ring, {}};
  std::shared_ptr<const tls::Context> client_context;

  // What the waypoint knows; use() puts it in force.
  config::HttpChain chain;
  config::RouteTable routes;
  config::Route route;  // the only one
  config::Forward forward;
  config::Cluster cluster;
  std::vector<config::Cluster> others;
  config::TcpChain tcp;
  void use();
  // Endpoints of the cluster, all of them behind the same node proxy.
  struct Locality {
    std::vector<std::uint16_t> ports = {};
    std::uint32_t priority = 0, weight = 1;
    std::string zone = {};
    config::Endpoint::Health health = config::Endpoint::Health::kHealthy;
  };
  config::EndpointsPtr endpoints(const std::vector<Locality>& localities) const;

  io::Task<void> tell(io::Task<void> story);
  void run(io::Task<void> story) { ring->run(tell(std::move(story))); }

  // A connection to `authority` through the waypoint, or through the one at `address`.
  io::Task<Result<std::unique_ptr<wire::Wire>>> call(
      std::string authority = kService, std::optional<net::SocketAddress> address = {});
  // Sends `text` as HTTP/1.1, ends, and gives what comes back.
  io::Task<std::string> talk(std::string text, std::string authority = kService);
};

// Time passes; only where it is simulated does it pass exactly so, and cost nothing.
io::Task<void> lapse(io::Ring& ring, io::Duration time);
// Until `condition` holds; gives up after a while, for the test to see that it does not.
io::Task<void> until(io::Ring& ring, std::function<bool()> condition);

// A client of HTTP/2: `story` has its session.
io::Task<void> as_http2(World& world, std::function<io::Task<void>(wire::Http2Session&)> story,
                        std::string authority = kService);

struct Answer {
  int status = 0;
  h2::Headers headers;
  std::string body;
  h2::Headers trailers;
};
// One request on a connection of its own.
io::Task<Answer> ask(World& world, http::Request request, std::string body = {},
                     std::string authority = kService);

}  // namespace mesh::waypoint::test
