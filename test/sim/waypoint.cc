#include "test/sim/waypoint.h"

#include "mesh/io/both.h"
#include "mesh/io/timer.h"
#include "ztunnel/route.h"

namespace mesh::sim {
namespace {

using namespace std::chrono_literals;

hbone::PoolOptions pool_options() {
  hbone::PoolOptions options;
  options.idle_release = 2s;
  return options;
}

io::Task<Result<Done>> copy(hbone::Stream& from, hbone::Stream& to) {
  for (;;) {
    CO_TRY(const tls::Slice part, co_await from.recv_buffer());
    if (part.empty()) break;
    CO_TRY_DO(co_await to.send_all(part.bytes()));
  }
  co_return to.finish_sending();
}

// An end is passed on; anything else resets both.
io::Task<Result<Done>> relay(hbone::Stream& client, hbone::Stream& server) {
  const auto ends = co_await io::both(copy(client, server), copy(server, client));
  if (ends.first && ends.second) co_return Done{};
  client.reset();
  server.reset();
  co_return failed(Reason::kPeerReset, "waypoint");
}

}  // namespace

Waypoint::Waypoint(io::sim::World& world, io::sim::Host& host, const test::TestCa& ca,
                   net::SpiffeId id, Resolve resolve)
    : world_(world),
      id_(std::move(id)),
      resolve_(std::move(resolve)),
      ring_(*host.make_ring({.relay_buffers = 8, .wire_buffers = 8})),
      server_(*ring_, {}, *this),
      pool_(*ring_, pool_options()),
      stopped_(*ring_) {
  const auto now = std::chrono::floor<std::chrono::seconds>(ring_->wall_now());
  test::LeafOptions leaf;
  leaf.uris = {id_.to_string()};
  leaf.not_before = now - 1min;
  leaf.not_after = now + 1h;
  const tls::Credentials credentials = ca.issue(leaf);
  as_server_ = *tls::Context::for_mesh(tls::Role::kServer, credentials);
  as_client_ = *tls::Context::for_mesh(tls::Role::kClient, credentials);
}

Waypoint::~Waypoint() = default;

void Waypoint::serve() { world_.start(*ring_, run()); }

void Waypoint::stop() {
  ring_->post([this] { stopped_.set(); });
}

io::Task<void> Waypoint::run() {
  auto listener = io::Listener::listen(
      *ring_, {.at = {net::IpAddress::v6({}), ztunnel::kHbonePort}, .mark = {}, .netns = nullptr});
  MESH_CHECK(listener.has_value());
  listener_.emplace(*std::move(listener));
  scope_.spawn(accept_all());
  (void)co_await stopped_.wait();
  listener_->close();
  server_.end();
  scope_.cancel();
  co_await scope_.join();
  co_await pool_.close(io::Duration::zero());
  listener_.reset();
}

io::Task<void> Waypoint::accept_all() {
  for (;;) {
    auto socket = co_await listener_->accept();
    if (socket) {
      scope_.spawn(serve_one(*std::move(socket)));
      continue;
    }
    if (socket.error().reason == Reason::kCancelled) co_return;
    if (!co_await io::sleep_for(*ring_, 1ms)) co_return;
  }
}

io::Task<void> Waypoint::serve_one(io::Socket socket) {
  (void)co_await server_.serve(std::move(socket), as_server_);
}

io::Task<void> Waypoint::on_connect(hbone::IncomingConnect connect) {
  return forward(std::make_unique<hbone::IncomingConnect>(std::move(connect)));
}

io::Task<void> Waypoint::forward(std::unique_ptr<hbone::IncomingConnect> connect) {
  const auto endpoint = resolve_(connect->request().authority);
  if (!endpoint) co_return connect->refuse(503);
  const hbone::OpenRequest request{.key = {.source_uid = "waypoint",
                                           .source = id_,
                                           .destination_uid = endpoint->uid,
                                           .accepted = {endpoint->id},
                                           .address = {endpoint->address.ip, ztunnel::kHbonePort}},
                                   .context = as_client_,
                                   .authority = endpoint->address.to_string(),
                                   .headers = {{"x-istio-source", "waypoint"}}};
  auto opened = co_await pool_.open(request);
  if (!opened || !opened->stream) co_return connect->refuse(503);
  auto client = connect->accept();
  if (!client) co_return;
  (void)co_await hbone::while_whole(*opened->stream, relay(*client, *opened->stream));
}

}  // namespace mesh::sim
