// What a tunnel costs: TLS records, HTTP/2 frames, both together, and handshakes. Both ends run in
// this process, so bytes per second are of the pair; CPU per gigabyte of one end is half.

#include <benchmark/benchmark.h>
#include <malloc.h>

#include <chrono>
#include <memory>
#include <vector>

#include "mesh/base/check.h"
#include "mesh/h2/connection.h"
#include "mesh/hbone/tunnel_pool.h"
#include "mesh/hbone/tunnel_server.h"
#include "mesh/io/task_scope.h"
#include "mesh/tls/session.h"
#include "test/support/test_ca.h"

namespace mesh {
namespace {

using namespace std::chrono_literals;

struct TlsPair {
  test::TestCa ca;
  std::shared_ptr<const tls::Context> client_context = context(tls::Role::kClient, "web");
  std::shared_ptr<const tls::Context> server_context = context(tls::Role::kServer, "cart");
  std::unique_ptr<tls::Session> client;
  std::unique_ptr<tls::Session> server;
  std::vector<tls::Slice> plain;
  std::vector<tls::Piece> wire;

  std::shared_ptr<const tls::Context> context(tls::Role role, const std::string& account) {
    test::LeafOptions leaf;  // valid at any time this may run, and at kTestNow
    leaf.uris.push_back("spiffe://cluster.local/ns/shop/sa/" + account);
    leaf.not_after = test::kTestNow + std::chrono::hours(24 * 3650);
    return tls::Context::for_mesh(role, ca.issue(leaf)).value();
  }
  void carry(tls::Session& from, tls::Session& to) {
    from.take_output(wire);
    for (const tls::Piece& piece : wire) {
      MESH_CHECK(to.feed(tls::Slice::copy_of(piece.bytes()), plain).has_value());
    }
    wire.clear();
  }
  void shake() {
    tls::SessionOptions options;
    options.now = test::kTestNow;
    options.accepted.push_back(*server_context->identity());
    client = tls::Session::create(client_context, options).value();
    server = tls::Session::create(server_context, options).value();
    while (!client->open() || !server->open()) {
      carry(*client, *server);
      carry(*server, *client);
    }
  }
};

// Seal at one end, open at the other, in place both times.
void records(benchmark::State& state) {
  TlsPair pair;
  pair.shake();
  const auto size = static_cast<std::size_t>(state.range(0));
  for (auto _ : state) {
    MESH_CHECK(pair.client->seal(tls::Piece::allocate(size), pair.wire).has_value());
    const auto bytes = pair.wire.back().bytes();
    MESH_CHECK(pair.server->feed(tls::Slice(nullptr, bytes), pair.plain).has_value());
    pair.plain.clear();
    pair.wire.clear();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(size));
}
BENCHMARK(records)->Arg(128)->Arg(1024)->Arg(16384);

void handshakes(benchmark::State& state) {
  TlsPair pair;
  for (auto _ : state) pair.shake();
}
BENCHMARK(handshakes);

struct Ends final : h2::Events {
  h2::Connection* connection = nullptr;
  bool answer = false;
  std::size_t bytes = 0;

  void on_headers(h2::StreamId id, h2::Headers, bool) override {
    if (answer) MESH_CHECK(connection->respond(id, {{":status", "200"}}, false).has_value());
  }
  void on_data(h2::StreamId id, tls::Slice slice) override {
    bytes += slice.size();
    connection->consumed(id, slice.size());
  }
  void on_end(h2::StreamId) override {}
  void on_reset(h2::StreamId, h2::ErrorCode) override {}
  void on_closed(h2::StreamId) override {}
  void on_sent(h2::StreamId) override {}
  void on_goaway(h2::ErrorCode, h2::StreamId) override {}
};

struct H2Pair {
  io::TimePoint now{1s};
  Ends client_ends;
  Ends server_ends;
  h2::Connection client{h2::Options::for_client(), client_ends, now};
  h2::Connection server{h2::Options::for_server(), server_ends, now};
  std::vector<tls::Piece> pieces;

  H2Pair() {
    client_ends.connection = &client;
    server_ends.connection = &server;
    server_ends.answer = true;
  }
  bool carry(h2::Connection& from, h2::Connection& to) {
    from.produce(pieces, 128 * 1024);
    for (const tls::Piece& piece : pieces) {
      const tls::Slice slice(nullptr, {const_cast<std::byte*>(piece.bytes().data()), piece.size()});
      MESH_CHECK(to.receive(slice, now).has_value());
    }
    const bool any = !pieces.empty();
    pieces.clear();
    return any;
  }
  void settle() {
    for (bool moved = true; moved;) {
      moved = carry(client, server);
      moved = carry(server, client) || moved;
    }
  }
};

// DATA frames from one end to the other, with the window updates they cause.
void frames(benchmark::State& state) {
  H2Pair pair;
  const h2::StreamId id =
      pair.client.request({{":method", "CONNECT"}, {":authority", "10.0.0.1:80"}}, false).value();
  pair.settle();
  const auto size = static_cast<std::size_t>(state.range(0));
  for (auto _ : state) {
    pair.client.send(id, tls::Piece::allocate(size));
    pair.carry(pair.client, pair.server);
    pair.carry(pair.server, pair.client);
    pair.now += 1us;
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(pair.server_ends.bytes));
}
BENCHMARK(frames)->Arg(128)->Arg(1024)->Arg(16375);

// CONNECT, its answer, and both ends ended.
void streams(benchmark::State& state) {
  H2Pair pair;
  pair.settle();
  for (auto _ : state) {
    const h2::StreamId id =
        pair.client
            .request({{":method", "CONNECT"},
                      {":authority", "10.0.0.1:80"},
                      {"baggage", "k8s.cluster.name=Kubernetes,k8s.namespace.name=shop"},
                      {"forwarded", "for=\"10.0.0.2:40000\""},
                      {"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"}},
                     false)
            .value();
    pair.settle();
    pair.client.finish(id);
    pair.server.finish(id);
    pair.settle();
    pair.now += 1ms;
  }
}
BENCHMARK(streams);

// The real thing: a pool and a server on one ring, over loopback sockets. `range` bytes at a time
// go there; the far end swallows them, or says them back and the next waits for that.
struct World final : hbone::ConnectHandler {
  TlsPair tls;
  std::unique_ptr<io::Ring> ring = io::Ring::create().value();
  io::Listener listener =
      io::Listener::listen(*ring, {.at = {net::IpAddress::v4({127, 0, 0, 1}), 0}, .mark = {}})
          .value();
  hbone::TunnelServer server{*ring, hbone::ServerOptions{}, *this};
  hbone::TunnelPool pool{*ring, hbone::PoolOptions{}};
  bool echo = false;

  ~World() override { ring->run(pool.close(io::Duration::zero())); }

  io::Task<void> on_connect(hbone::IncomingConnect connect) override {
    auto stream = connect.accept();
    for (;;) {
      auto got = co_await stream->recv_buffer();
      if (!got || got->empty()) co_return;
      if (echo) (void)co_await stream->send_all(got->bytes());
    }
  }
  io::Task<void> serve() {
    auto socket = co_await listener.accept();
    (void)co_await server.serve(*std::move(socket), tls.server_context);
  }
  hbone::OpenRequest request() {
    return {.key = {.source_uid = "a",
                    .source = *tls.client_context->identity(),
                    .destination_uid = "b",
                    .accepted = {*tls.server_context->identity()},
                    .address = listener.local_address()},
            .context = tls.client_context,
            .authority = "10.0.0.1:80",
            .headers = {}};
  }
  io::Task<void> transfer(std::size_t size, std::size_t count) {
    io::TaskScope serving;
    serving.spawn(serve());
    auto opened = co_await pool.open(request());
    MESH_CHECK(opened.has_value() && opened->stream);
    for (std::size_t i = 0; i < count; ++i) {
      const auto sent = co_await opened->stream->send_buffer(io::Buffer::allocate(size));
      MESH_CHECK(sent.has_value());
      for (std::size_t heard = 0; echo && heard < size;) {
        auto got = co_await opened->stream->recv_buffer();
        MESH_CHECK(got.has_value());
        heard += got->size();
      }
    }
    opened->stream.reset();
    pool.purge_source("a");
    co_await serving.join();
  }
};

void tunnel_bulk(benchmark::State& state) {
  World world;
  const std::size_t count = 4000;
  for (auto _ : state) world.ring->run(world.transfer(io::kRelayBytes, count));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(count * io::kRelayBytes));
}
BENCHMARK(tunnel_bulk)->UseRealTime()->MeasureProcessCPUTime();

void tunnel_round_trips(benchmark::State& state) {
  World world;
  world.echo = true;
  const std::size_t count = 2000;
  for (auto _ : state) world.ring->run(world.transfer(1024, count));
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(count));
}
BENCHMARK(tunnel_round_trips)->UseRealTime()->MeasureProcessCPUTime();

// What the heap holds for one stream that says nothing, both ends of it.
io::Task<void> hold(World& world, std::size_t count, std::size_t& bytes) {
  io::TaskScope serving;
  std::vector<hbone::OpenOutcome> held;
  held.reserve(count);
  const std::size_t before = mallinfo2().uordblks;
  for (std::size_t i = 0; i < count; ++i) {
    if (i % 100 == 0) serving.spawn(world.serve());
    auto opened = co_await world.pool.open(world.request());
    MESH_CHECK(opened.has_value() && opened->stream);
    held.push_back(*std::move(opened));
  }
  bytes = mallinfo2().uordblks - before;
  held.clear();
  world.pool.purge_source("a");
  co_await serving.join();
}

void idle_streams(benchmark::State& state) {
  std::size_t bytes = 0;
  for (auto _ : state) {
    World world;
    world.ring->run(hold(world, 2000, bytes));
  }
  state.counters["bytes_per_stream"] = static_cast<double>(bytes) / 2000;
}
BENCHMARK(idle_streams)->Iterations(1);

}  // namespace
}  // namespace mesh

BENCHMARK_MAIN();
