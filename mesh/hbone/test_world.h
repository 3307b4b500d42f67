#pragma once
// What the tests of mesh/hbone share: a ring, identities, a server on the loopback that answers
// CONNECTs as a test says, and a pool that calls it.

#include <catch2/catch_test_macros.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mesh/hbone/tunnel_pool.h"
#include "mesh/hbone/tunnel_server.h"
#include "mesh/io/both.h"
#include "mesh/io/task_scope.h"
#include "mesh/io/test_bench.h"
#include "mesh/io/timer.h"
#include "test/support/test_ca.h"

namespace mesh::hbone::test {

using io::test::bytes;

inline net::SpiffeId id(std::string_view text) { return net::SpiffeId::parse(text).value(); }

inline constexpr const char* kWeb = "spiffe://cluster.local/ns/shop/sa/web";
inline constexpr const char* kCart = "spiffe://cluster.local/ns/shop/sa/cart";

// Credentials that are valid at the ring's time.
inline tls::Credentials issue(const mesh::test::TestCa& ca, io::Ring& ring, const char* uri) {
  const auto now = std::chrono::floor<std::chrono::seconds>(ring.wall_now());
  mesh::test::LeafOptions options;
  options.uris.push_back(uri);
  options.not_before = now - std::chrono::minutes(1);
  options.not_after = now + std::chrono::hours(1);
  return ca.issue(options);
}

inline io::Task<std::string> read_to_end(Stream& stream) {
  std::string all;
  for (;;) {
    auto got = co_await stream.recv_buffer();
    if (!got) co_return all + "!" + std::string(reason_name(got.error().reason));
    if (got->empty()) co_return all;
    all += io::test::text(got->bytes());
  }
}

// Answers every CONNECT as `serve` says; keeps what was asked.
struct Handler final : ConnectHandler {
  std::function<io::Task<void>(IncomingConnect)> serve;
  std::vector<std::string> asked;
  std::vector<std::string> peers;
  std::vector<Reason> refused;

  void on_refused(const RefusedRequest& request) override { refused.push_back(request.reason); }
  io::Task<void> on_connect(IncomingConnect connect) override {
    asked.push_back(connect.request().authority);
    peers.push_back(connect.request().peer.to_string());
    return serve(std::move(connect));
  }
};

struct World {
  std::unique_ptr<io::Ring> ring = io::test::make_ring();
  mesh::test::TestCa ca;
  std::shared_ptr<const tls::Context> client_context =
      tls::Context::for_mesh(tls::Role::kClient, issue(ca, *ring, kWeb)).value();
  std::shared_ptr<const tls::Context> server_context =
      tls::Context::for_mesh(tls::Role::kServer, issue(ca, *ring, kCart)).value();
  Handler handler;
  ServerOptions server_options;
  PoolOptions pool_options;
  std::optional<io::Listener> listener;
  std::unique_ptr<TunnelServer> server;
  std::unique_ptr<TunnelPool> pool;
  std::vector<Result<Done>> served;
  std::size_t accepted = 0;

  OpenRequest request(std::string authority = "10.0.0.2:80") const {
    OpenRequest request{.key = {.source_uid = "web-1",
                                .source = id(kWeb),
                                .destination_uid = "cart-1",
                                .accepted = {id(kCart)},
                                .address = listener->local_address()},
                        .context = client_context,
                        .authority = std::move(authority),
                        .headers = {{"baggage", "k8s.namespace.name=shop"}}};
    return request;
  }

  io::Task<void> serve_one(io::Socket socket) {
    served.push_back((co_await server->serve(std::move(socket), server_context)).end);
  }
  io::Task<void> accept(io::TaskScope& serving) {
    for (;;) {
      auto socket = co_await listener->accept();
      if (!socket) co_return;
      ++accepted;
      serving.spawn(serve_one(*std::move(socket)));
    }
  }
  // Starts server and pool, runs `story`, ends everything.
  io::Task<void> tell(io::Task<void> story) {
    io::TaskScope serving;
    io::TaskScope accepting;
    accepting.spawn(accept(serving));
    co_await std::move(story);
    co_await pool->close(std::chrono::milliseconds(500));
    server->end();
    listener->close();
    accepting.cancel();
    co_await accepting.join();
    co_await serving.join();
  }
  void start() {
    listener.emplace(io::test::make_listener(*ring));
    server = std::make_unique<TunnelServer>(*ring, server_options, handler);
    pool = std::make_unique<TunnelPool>(*ring, pool_options);
  }
  void run(io::Task<void> story) { ring->run(tell(std::move(story))); }
};

// Lets time pass, where a deadline or an idle limit is the subject. Tests that do are tagged [time]
// and run on the simulator only, whose time costs nothing.
inline io::Task<void> pass_until(io::Ring& ring, io::TimePoint when) {
  if (ring.now() < when) (void)co_await io::sleep_until(ring, when);
}
inline io::Task<void> pass(World& world, io::Duration time) {
  return pass_until(*world.ring, world.ring->now() + time);
}

// The usual application: says back what it hears, ends when it ends.
inline io::Task<void> echo(IncomingConnect connect) {
  auto stream = connect.accept({{"baggage", "k8s.namespace.name=shop"}});
  if (!stream) co_return;
  for (;;) {
    auto got = co_await stream->recv_buffer();
    if (!got) co_return;
    if (got->empty()) break;
    const auto sent = co_await stream->send_all(got->bytes());
    if (!sent) co_return;
  }
  (void)stream->finish_sending();
}

}  // namespace mesh::hbone::test
