// Whole exchanges in simulated time: the bytes of a client and of an endpoint are the input. Each
// request is answered exactly once or its connection ends; what the client gets is HTTP that a
// strict parser takes, whatever the endpoint said; nothing stays, nothing waits for ever.
//
// Input: a byte of settings, a byte that cuts the client's bytes into parts, two bytes that say how
// long they are, those, and the endpoint's.

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

#include "mesh/base/check.h"
#include "mesh/io/sim.h"
#include "mesh/io/task_scope.h"
#include "mesh/io/timer.h"
#include "waypoint/exchange.h"
#include "waypoint/sniff.h"
#include "waypoint/wire/h1_server.h"
#include "waypoint/wire/h2_session.h"

namespace mesh::waypoint {
namespace {

using namespace std::chrono_literals;
using Bytes = std::span<const std::byte>;

struct Input {
  std::uint8_t settings = 0;
  std::size_t cut = 1;
  Bytes client, endpoint;

  bool endpoint_stays() const { return (settings & 1) != 0; }
  bool endpoint_http2() const { return (settings & 2) != 0; }
  bool retries() const { return (settings & 4) != 0; }
  bool client_stays() const { return (settings & 8) != 0; }
  bool upgrades() const { return (settings & 16) != 0; }
};

Input read_input(const std::uint8_t* data, std::size_t size) {
  if (size < 4) return {};
  const Bytes all = std::as_bytes(std::span(data, size)).subspan(4);
  const std::size_t middle = std::min<std::size_t>(all.size(), data[2] | data[3] << 8);
  return {.settings = data[0],
          .cut = 1u + data[1] * 4u,
          .client = all.first(middle),
          .endpoint = all.subspan(middle)};
}

// What the client says, in parts; what it hears is kept.
struct Client final : wire::Wire {
  Client(io::Ring& on, const Input& of) : ring(on), input(of), left(of.client) {}
  io::Ring& ring;
  const Input& input;
  Bytes left;
  std::string heard;
  bool was_reset = false, ended = false;

  io::Task<Result<tls::Slice>> recv() override {
    if (left.empty() && input.client_stays()) {
      const auto slept = co_await io::sleep_for(ring, 10min);
      if (!slept) co_return std::unexpected(slept.error());
    }
    const Bytes part = left.first(std::min(left.size(), input.cut));
    left = left.subspan(part.size());
    co_await io::yield(ring);
    co_return tls::Slice::copy_of(part);
  }
  io::Task<Result<Done>> send_all(std::span<const std::byte> bytes) override {
    MESH_CHECK(!ended);
    if (was_reset) co_return failed(Reason::kPeerReset, "fuzz");
    heard.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    co_return Done{};
  }
  io::Task<Result<Done>> send_piece(tls::Piece piece) override {
    co_return co_await send_all(piece.bytes());
  }
  Result<Done> finish_sending() override {
    ended = true;
    return Done{};
  }
  void reset() override { was_reset = true; }
  bool quiet() const override { return true; }
};

struct Counted final : Recorder {
  int records = 0;
  void record(const Caller&, const Record&, io::Duration) override { ++records; }
  void tcp_opened(const Caller&, const Record&) override {}
};

struct World final : wire::ServerHandler {
  World(io::Ring& on, const Input& of)
      : ring(on),
        input(of),
        listener(listen(on)),
        upstreams(on, tunnels, [] { return nullptr; }, "fuzz", {}) {
    config::Forward forward;
    forward.targets = {{.cluster = "one"}};
    forward.total_weight = 1;
    if (input.upgrades()) forward.upgrades = {"websocket"};
    if (input.retries()) {
      forward.retry = config::RetryPolicy{.on_5xx = true, .retries = 2, .backoff_base = 1ms};
    }
    config::Route route;
    route.match.path = {.kind = config::PathMatch::Kind::kPrefix, .value = "/"};
    route.action = std::move(forward);
    config::VirtualHost host;
    host.domains = {"*"};
    host.routes = {std::make_shared<const config::Route>(std::move(route))};
    config::RouteTable table;
    table.hosts.push_back(std::move(host));
    auto made = std::make_shared<config::Chain>();
    made->http.emplace();
    made->http->routes = std::make_shared<const config::RouteTable>(std::move(table));
    chain = std::move(made);
    context.snapshot = know();
  }
  static io::Listener listen(io::Ring& ring) {
    io::ListenOptions options;
    options.at = {net::IpAddress::v4({127, 0, 0, 1}), 0};
    return io::Listener::listen(ring, options).value();
  }
  config::SnapshotPtr know() const {
    config::Endpoint endpoint;
    endpoint.address = listener.local_address();
    endpoint.transport = config::Endpoint::Transport::kPlain;
    endpoint.health = config::Endpoint::Health::kHealthy;
    auto endpoints = std::make_shared<config::Endpoints>();
    endpoints->all.push_back(endpoint);
    endpoints->groups.push_back({.count = 1});
    endpoints->priorities = 1;
    config::Cluster cluster;
    cluster.name = "one";
    cluster.discovery = config::Cluster::Discovery::kStatic;
    cluster.inline_endpoints = std::move(endpoints);
    if (input.endpoint_http2()) cluster.http.version = config::Http::Version::kHttp2;
    auto clusters = std::make_shared<config::Snapshot::Clusters>();
    (*clusters)[cluster.name] = std::make_shared<const config::Cluster>(cluster);
    auto snapshot = std::make_shared<config::Snapshot>();
    snapshot->ready = true;
    snapshot->clusters = std::move(clusters);
    return snapshot;
  }

  io::Task<void> on_request(wire::ServerStream& stream) override {
    ++begun;
    const int before = counted.records;
    const bool alone = stream.version() == wire::Version::kHttp1;
    Exchange exchange(context, caller, context.snapshot, chain, stream);
    co_await exchange.run();
    ++ended;
    MESH_CHECK(!alone || counted.records == before + 1);
  }
  wire::Response on_bad_request(const wire::BadRequest& request) override {
    ++bad;
    return {.status = request.status};
  }

  // Says its bytes to whoever connects, when it has heard something.
  io::Task<void> answer(io::Socket socket) {
    const auto first = co_await socket.recv_buffer();
    if (!first || first->empty()) co_return;
    for (Bytes left = input.endpoint; !left.empty();) {
      const Bytes part = left.first(std::min(left.size(), input.cut));
      const auto sent = co_await socket.send_all(part);
      if (!sent) co_return;
      left = left.subspan(part.size());
      co_await io::yield(ring);
    }
    while (input.endpoint_stays()) {
      const auto more = co_await socket.recv_buffer();
      if (!more || more->empty()) co_return;
    }
  }
  io::Task<void> accept(io::TaskScope& serving) {
    for (;;) {
      auto socket = co_await listener.accept();
      if (!socket) co_return;
      serving.spawn(answer(*std::move(socket)));
    }
  }

  io::Task<void> run();
  void check(const Client& client) const;

  io::Ring& ring;
  const Input& input;
  io::Listener listener;
  http::Dice dice{1};
  Counted counted;
  hbone::TunnelPool tunnels{ring, {}};
  Upstreams upstreams;
  Breakers breakers;
  Fleet fleet{ring, dice, breakers};
  Limiters limiters;
  RingContext context{.ring = ring,
                      .upstreams = upstreams,
                      .fleet = fleet,
                      .recorder = counted,
                      .dice = dice,
                      .limiters = limiters};
  config::ChainPtr chain;
  Caller caller;
  int begun = 0, ended = 0, bad = 0;
  bool http2 = false, done = false;
};

io::Task<void> World::run() {
  io::TaskScope serving, accepting;
  accepting.spawn(accept(serving));
  {
    Client client(ring, input);
    http2 = sniff(input.client) == Spoken::kHttp2;
    if (http2) {
      wire::Http2Session session(ring, client, this, {});
      (void)co_await session.run();
    } else {
      wire::Http1Server server(ring, client, *this, {});
      (void)co_await server.run();
    }
    check(client);
  }
  co_await upstreams.close();
  co_await tunnels.close(io::Duration::zero());
  listener.close();
  serving.cancel();
  accepting.cancel();
  co_await accepting.join();
  co_await serving.join();
  MESH_CHECK(upstreams.counts().connections == 0);
  const auto& cluster = *context.snapshot->cluster("one");
  MESH_CHECK(
      fleet.breaker(*context.snapshot, cluster, false).now(balance::Breaker::What::kRequest) == 0);
  done = true;
}

// The client's side, read as strictly as we read endpoints.
void World::check(const Client& client) const {
  MESH_CHECK(begun == ended);
  MESH_CHECK(counted.records == begun);
  if (http2) return;  // h2::Connection's own fuzzer reads what it writes
  h1::Parser parser(h1::Parser::Kind::kResponses, {});
  Bytes left = std::as_bytes(std::span(client.heard));
  int answers = 0;
  while (!left.empty()) {
    std::vector<Bytes> body;
    const h1::Parsed parsed = parser.parse(left, body);
    const int status = parsed.head ? parser.take_response().status : 0;
    if (status == 101) return;
    // An answer to HEAD has no body, and only we know which that is.
    if (parser.fault() != h1::Fault::kNone) {
      const std::string_view said(reinterpret_cast<const char*>(input.client.data()),
                                  input.client.size());
      MESH_CHECK(said.contains("HEAD"));
      return;
    }
    left = left.subspan(parsed.consumed);
    if (parsed.end && (status == 0 || status >= 200)) ++answers;
    if (!parsed.end && parsed.consumed == 0) break;
  }
  MESH_CHECK(answers <= begun + bad);
  // Unless we said by a reset that it is not whole, the last answer is whole.
  MESH_CHECK(client.was_reset || !parser.in_message() || parser.finish() || left.empty());
}

}  // namespace
}  // namespace mesh::waypoint

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mesh::waypoint;
  if (size > 16'384) return 0;
  const Input input = read_input(data, size);
  mesh::io::sim::World simulated({.seed = 1});
  auto& host = simulated.add_host("one", {*mesh::net::IpAddress::parse("10.0.0.1")});
  auto ring = host.make_ring();
  MESH_CHECK(ring.has_value());
  {
    World world(**ring, input);
    simulated.start(**ring, world.run());
    // Deadlines of a whole day would be a wait for ever.
    (void)simulated.run_until_idle(std::chrono::hours(24));
    MESH_CHECK(world.done);
  }
  return 0;
}
