// What a waypoint has inside its tunnels, on plain sockets: the exchanges, both versions of HTTP,
// requests forwarded in plaintext. usage: front BACKEND_PORT...
//
// Lane n listens on a port of its own, printed in order on one line, and forwards to the n-th
// backend. Lanes of odd numbers decode escaped slashes and merge slashes; the others are Istio's
// default. x-weft-read tells a backend what policy and routing were shown.

#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <vector>

#include "mesh/io/task_scope.h"
#include "waypoint/exchange.h"
#include "waypoint/sniff.h"
#include "waypoint/wire/h1_server.h"
#include "waypoint/wire/h2_session.h"

namespace mesh::waypoint {
namespace {

constexpr const char* kShown = "%REQ(:METHOD)% %REQ(:PATH)% %REQ(:AUTHORITY)%";

struct Nobody final : Recorder {
  void record(const Caller&, const Record&, io::Duration) override {}
  void tcp_opened(const Caller&, const Record&) override {}
};

config::HttpChain chain_of(bool decoding) {
  config::Forward forward;
  forward.targets = {{.cluster = "backend"}};
  forward.total_weight = 1;
  forward.retry.reset();
  config::Route route;
  route.match.path = {.kind = config::PathMatch::Kind::kPrefix, .value = "/"};
  route.request_headers.add.push_back({.name = "x-weft-read",
                                       .value = kShown,
                                       .action = config::HeaderChange::Action::kOverwriteOrAdd,
                                       .has_operators = true});
  route.action = std::move(forward);
  config::VirtualHost host;
  host.domains = {"*"};
  host.routes = {std::make_shared<const config::Route>(std::move(route))};
  config::RouteTable table;
  table.hosts.push_back(std::move(host));
  config::HttpChain chain;
  chain.routes = std::make_shared<const config::RouteTable>(std::move(table));
  chain.merge_slashes = decoding;
  if (decoding) {
    chain.escaped_slashes = config::HttpChain::EscapedSlashes::kUnescapeAndForward;
  }
  return chain;
}

config::SnapshotPtr snapshot_of(std::uint16_t backend) {
  config::Endpoint endpoint;
  endpoint.address = {net::IpAddress::v4({127, 0, 0, 1}), backend};
  endpoint.transport = config::Endpoint::Transport::kPlain;
  endpoint.health = config::Endpoint::Health::kHealthy;
  auto endpoints = std::make_shared<config::Endpoints>();
  endpoints->all.push_back(endpoint);
  endpoints->groups.push_back({.count = 1});
  endpoints->priorities = 1;
  config::Cluster cluster;
  cluster.name = "backend";
  cluster.discovery = config::Cluster::Discovery::kStatic;
  cluster.inline_endpoints = std::move(endpoints);
  auto clusters = std::make_shared<config::Snapshot::Clusters>();
  (*clusters)[cluster.name] = std::make_shared<const config::Cluster>(cluster);
  auto snapshot = std::make_shared<config::Snapshot>();
  snapshot->number = 1;
  snapshot->ready = true;
  snapshot->clusters = std::move(clusters);
  return snapshot;
}

class Lane final : wire::ServerHandler {
 public:
  Lane(io::Ring& ring, std::uint16_t backend, bool decoding)
      : ring_(ring),
        tunnels_(ring, {}),
        upstreams_(ring, tunnels_, [] { return nullptr; }, "front", {}),
        fleet_(ring, dice_, breakers_),
        context_{.ring = ring,
                 .upstreams = upstreams_,
                 .fleet = fleet_,
                 .recorder = nobody_,
                 .dice = dice_,
                 .limiters = limiters_,
                 .snapshot = snapshot_of(backend)},
        listener_(listen(ring)) {
    auto chain = std::make_shared<config::Chain>();
    chain->http = chain_of(decoding);
    chain_ = std::move(chain);
    caller_.principal = "spiffe://cluster.local/ns/shop/sa/web";
    caller_.own_principal = "spiffe://cluster.local/ns/shop/sa/waypoint";
  }

  std::uint16_t port() const { return listener_.local_address().port; }

  io::Task<void> run() {
    for (;;) {
      auto socket = co_await listener_.accept();
      if (socket) serving_.spawn(serve(*std::move(socket)));
    }
  }

 private:
  static io::Listener listen(io::Ring& ring) {
    io::ListenOptions options;
    options.at = {net::IpAddress::v4({127, 0, 0, 1}), 0};
    auto listener = io::Listener::listen(ring, options);
    if (!listener) std::abort();
    return *std::move(listener);
  }

  io::Task<void> on_request(wire::ServerStream& stream) override {
    Exchange exchange(context_, caller_, context_.snapshot, chain_, stream);
    co_await exchange.run();
  }

  // As the gate does it inside a tunnel.
  io::Task<void> serve(io::Socket socket) {
    wire::SocketWire below(std::move(socket));
    std::vector<std::byte> first;
    do {
      auto more = co_await below.recv();
      if (!more || more->empty()) break;
      first.insert(first.end(), more->bytes().begin(), more->bytes().end());
    } while (sniff(first) == Spoken::kMore);
    if (first.empty()) co_return;
    wire::PrefixedWire wire(below, tls::Slice::copy_of(first));
    if (sniff(first) == Spoken::kHttp2) {
      wire::Http2Session session(ring_, wire, this, {});
      (void)co_await session.run();
    } else {
      wire::Http1Server server(ring_, wire, *this, {});
      (void)co_await server.run();
    }
  }

  io::Ring& ring_;
  Nobody nobody_;
  http::Dice dice_{1};
  hbone::TunnelPool tunnels_;
  Upstreams upstreams_;
  Breakers breakers_;
  Fleet fleet_;
  Limiters limiters_;
  RingContext context_;
  config::ChainPtr chain_;
  Caller caller_;
  io::Listener listener_;
  io::TaskScope serving_;
};

io::Task<void> run_all(std::vector<std::unique_ptr<Lane>>& lanes) {
  io::TaskScope running;
  for (auto& lane : lanes) running.spawn(lane->run());
  co_await running.join();
}

int front(int argc, char** argv) {
  (void)std::signal(SIGPIPE, SIG_IGN);
  auto ring = io::Ring::create({});
  if (!ring) return 77;
  std::vector<std::unique_ptr<Lane>> lanes;
  for (int i = 1; i < argc; ++i) {
    std::uint16_t backend = 0;
    const std::string_view text = argv[i];
    if (std::from_chars(text.data(), text.data() + text.size(), backend).ec != std::errc()) {
      return 2;
    }
    lanes.push_back(std::make_unique<Lane>(**ring, backend, i % 2 == 0));
    std::printf("%u ", lanes.back()->port());
  }
  std::puts("");
  (void)std::fflush(stdout);
  (*ring)->run(run_all(lanes));
  return 0;
}

}  // namespace
}  // namespace mesh::waypoint

int main(int argc, char** argv) { return mesh::waypoint::front(argc, argv); }
