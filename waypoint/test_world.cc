#include "waypoint/test_world.h"

#include <algorithm>

#include "mesh/io/timer.h"

namespace mesh::waypoint::test {
namespace {

std::shared_ptr<identity::Certificate> certificate_of(const mesh::test::TestCa& ca, io::Ring& ring,
                                                      const char* uri) {
  const tls::Credentials credentials = hbone::test::issue(ca, ring, uri);
  return std::make_shared<identity::Certificate>(identity::Certificate{
      .id = hbone::test::id(uri),
      .chain = credentials.chain,
      .roots = credentials.roots,
      .client = tls::Context::for_mesh(tls::Role::kClient, credentials).value(),
      .server = tls::Context::for_mesh(tls::Role::kServer, credentials).value(),
      .not_after = ring.wall_now() + std::chrono::hours(1)});
}

UpstreamOptions upstream_options(const World& world) {
  UpstreamOptions options;
  // Nobody is asked for names but a file that a test writes.
  options.names = {.hosts_path = "/etc/hosts", .resolv_conf_path = "/nonexistent"};
  options.hbone_port = world.endpoint.listener.local_address().port;
  return options;
}

}  // namespace

World::World()
    : certificate(certificate_of(ca, *ring, kWaypoint)),
      upstreams(
          *ring, upstream_tunnels, [this] { return certificate; }, "waypoint-1",
          upstream_options(*this)),
      context{.ring = *ring,
              .upstreams = upstreams,
              .fleet = fleet,
              .recorder = kept,
              .dice = dice,
              .limiters = limiters,
              .snapshot = std::make_shared<config::Snapshot>(),
              .snapshot_changed = &changed,
              .mirrors = &mirrors,
              .tracer = &tracer},
      gate(context, [this] { return certificate; }),
      front(*ring, gate, hbone::test::issue(ca, *ring, kWaypoint)),
      client_context(
          tls::Context::for_mesh(tls::Role::kClient, hbone::test::issue(ca, *ring, kWeb)).value()) {
  route.match.path = {.kind = config::PathMatch::Kind::kPrefix, .value = "/"};
  forward.targets = {{.cluster = "cart"}};
  forward.total_weight = 1;
  cluster.name = "cart";
  cluster.discovery = config::Cluster::Discovery::kStatic;
  cluster.service_host = "cart.shop.svc.cluster.local";
  auto endpoints = std::make_shared<config::Endpoints>();
  config::Endpoint one;
  one.address = {endpoint.listener.local_address().ip, 8080};
  one.health = config::Endpoint::Health::kHealthy;
  one.workload = "cart-1;shop;cart;v1;Kubernetes";
  endpoints->all.push_back(one);
  endpoints->groups.push_back({.count = 1});
  endpoints->priorities = 1;
  cluster.inline_endpoints = std::move(endpoints);
  tcp.targets = {{.cluster = "cart"}};
  tcp.total_weight = 1;
  context.remote_keys = &remote_keys;
  use();
}

void World::use() {
  auto snapshot = std::make_shared<config::Snapshot>();
  snapshot->number = context.snapshot->number + 1;
  snapshot->ready = true;
  config::Route now = route;
  if (std::holds_alternative<config::DirectResponse>(route.action)) now.action = forward;
  config::RouteTable table = routes;
  if (table.hosts.empty()) {
    config::VirtualHost host;
    host.domains = {"*"};
    host.routes = {std::make_shared<const config::Route>(std::move(now))};
    table.hosts.push_back(std::move(host));
  }
  config::HttpChain http = chain;
  http.routes = std::make_shared<const config::RouteTable>(std::move(table));
  auto http_chain = std::make_shared<config::Chain>();
  http_chain->http = std::move(http);
  auto tcp_chain = std::make_shared<config::Chain>();
  tcp_chain->tcp = tcp;
  auto destinations = std::make_shared<config::Snapshot::Destinations>();
  const auto at = [](const char* address) { return net::SocketAddress::parse(address).value(); };
  destinations->exact[at(kService)] = {.http = http_chain};
  destinations->exact[at(kTcpService)] = {.tcp = tcp_chain};
  destinations->exact[at(kEitherService)] = {.http = http_chain, .tcp = tcp_chain};
  snapshot->by_address = std::move(destinations);
  auto clusters = std::make_shared<config::Snapshot::Clusters>();
  (*clusters)[cluster.name] = std::make_shared<const config::Cluster>(cluster);
  for (const config::Cluster& other : others) {
    (*clusters)[other.name] = std::make_shared<const config::Cluster>(other);
  }
  snapshot->clusters = std::move(clusters);
  context.snapshot = std::move(snapshot);
  changed.set();
  changed.reset();
}

config::EndpointsPtr World::endpoints(const std::vector<Locality>& localities) const {
  auto made = std::make_shared<config::Endpoints>();
  for (const Locality& locality : localities) {
    made->groups.push_back({.zone = locality.zone,
                            .priority = locality.priority,
                            .weight = locality.weight,
                            .first = static_cast<std::uint32_t>(made->all.size()),
                            .count = static_cast<std::uint32_t>(locality.ports.size())});
    made->priorities = std::max(made->priorities, locality.priority + 1);
    for (const std::uint16_t port : locality.ports) {
      config::Endpoint one;
      one.address = {endpoint.listener.local_address().ip, port};
      one.health = locality.health;
      one.group = static_cast<std::uint32_t>(made->groups.size() - 1);
      one.workload = "cart-1;shop;cart;v1;Kubernetes";
      made->all.push_back(std::move(one));
    }
  }
  return made;
}

io::Task<void> World::tell(io::Task<void> story) {
  io::TaskScope serving, accepting;
  accepting.spawn(front.accept(serving));
  accepting.spawn(endpoint.accept(serving));
  co_await std::move(story);
  co_await client_tunnels.close(std::chrono::milliseconds(500));
  front.server.end();
  co_await mirrors.close();
  co_await tracer.flush(std::chrono::seconds(1));
  co_await remote_keys.close();
  co_await upstreams.close();
  co_await upstream_tunnels.close(std::chrono::milliseconds(500));
  endpoint.server.end();
  front.listener.close();
  endpoint.listener.close();
  accepting.cancel();
  co_await accepting.join();
  co_await serving.join();
}

io::Task<Result<std::unique_ptr<wire::Wire>>> World::call(
    std::string authority, std::optional<net::SocketAddress> address) {
  hbone::OpenRequest request{.key = {.source_uid = "web-1",
                                     .source = hbone::test::id(kWeb),
                                     .destination_uid = "waypoint-1",
                                     .accepted = {hbone::test::id(kWaypoint)},
                                     .address = address.value_or(front.listener.local_address())},
                             .context = client_context,
                             .authority = std::move(authority),
                             .headers = {{"baggage", "k8s.namespace.name=shop"}}};
  CO_TRY(hbone::OpenOutcome outcome, co_await client_tunnels.open(request));
  if (!outcome.stream) {
    co_return failed(outcome.status == 401 ? Reason::kDenied : Reason::kRefused, "CONNECT");
  }
  co_return std::make_unique<wire::TunnelWire>(*std::move(outcome.stream));
}

io::Task<std::string> World::talk(std::string said, std::string authority) {
  auto wire = co_await call(std::move(authority));
  if (!wire) co_return "!" + std::string(reason_name(wire.error().reason));
  const auto sent = co_await (*wire)->send_all(bytes(said));
  if (sent) (void)(*wire)->finish_sending();
  std::string all;
  for (;;) {
    auto got = co_await (*wire)->recv();
    if (!got) co_return all + "!" + std::string(reason_name(got.error().reason));
    if (got->empty()) co_return all;
    all += text(got->bytes());
  }
}

io::Task<void> lapse(io::Ring& ring, io::Duration time) {
  (void)co_await io::sleep_for(ring, time);
}

io::Task<void> until(io::Ring& ring, std::function<bool()> condition) {
  for (int turn = 0; turn < 5000 && !condition(); ++turn) {
    co_await lapse(ring, std::chrono::milliseconds(1));
  }
}

namespace {
io::Task<void> run_session(wire::Http2Session& session) { (void)co_await session.run(); }
}  // namespace

io::Task<void> as_http2(World& world, std::function<io::Task<void>(wire::Http2Session&)> story,
                        std::string authority) {
  auto wire = co_await world.call(std::move(authority));
  if (!wire) co_return;
  wire::Http2Session session(*world.ring, **wire, nullptr,
                             {.h2 = wire::Http2Options::for_client()});
  io::TaskScope scope;
  scope.spawn(run_session(session));
  co_await story(session);
  session.retire();
  co_await scope.join();
}

io::Task<Answer> ask(World& world, http::Request request, std::string body, std::string authority) {
  auto wire = co_await world.call(std::move(authority));
  Answer answer;
  if (!wire) co_return answer;
  wire::Http1Client client(*std::move(wire), {});
  auto stream = client.begin();
  if (request.authority.empty()) request.authority = "cart";
  if (request.method.empty()) request.method = "GET";
  if (request.path.empty()) request.path = "/";
  auto done = co_await stream->send(request, body.empty());
  if (done && !body.empty()) {
    done = co_await stream->write(bytes(body));
    if (done) done = co_await stream->finish({});
  }
  auto head = co_await stream->read_head();
  if (!head) co_return answer;
  answer.status = head->status;
  answer.headers = std::move(head->headers);
  answer.body = co_await wire::test::read_all(*stream);
  answer.trailers = stream->take_trailers();
  co_return answer;
}

}  // namespace mesh::waypoint::test
