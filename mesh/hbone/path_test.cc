// Long paths, on the simulator: one stream fills them, and a reader that stalls holds little.

#include <catch2/catch_test_macros.hpp>

#include "mesh/hbone/congestion.h"
#include "mesh/hbone/test_world.h"
#include "mesh/io/sim.h"

namespace mesh::hbone::test {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMeasured = 100'000'000;
constexpr std::size_t kWarmUp = 60'000'000;

net::IpAddress ip(const char* text) { return net::IpAddress::parse(text).value(); }

// Two nodes, 25 ms apart each way.
struct LongPath {
  explicit LongPath(std::uint64_t bytes_per_second)
      : near(world.add_host("near", {ip("10.0.0.1")})),
        far(world.add_host("far", {ip("10.0.0.2")})) {
    io::sim::Link link;
    link.delay = 25ms;
    link.bytes_per_second = bytes_per_second;
    world.set_link(near, far, link);
    near_ring = near.make_ring().value();
    far_ring = far.make_ring().value();
  }
  io::sim::World world;
  io::sim::Host& near;
  io::sim::Host& far;
  std::unique_ptr<io::Ring> near_ring;
  std::unique_ptr<io::Ring> far_ring;
  io::TimePoint began{};
  double seconds = 0;

  void count(std::size_t& heard, std::size_t more, io::TimePoint now) {
    if (heard < kWarmUp && heard + more >= kWarmUp) began = now;
    heard += more;
    if (heard >= kWarmUp + kMeasured && seconds == 0) {
      seconds = std::chrono::duration<double>(now - began).count();
    }
  }
};

io::Listener listen_far(LongPath& path, std::uint16_t port) {
  io::ListenOptions options;
  options.at = {ip("10.0.0.2"), port};
  return io::Listener::listen(*path.far_ring, options).value();
}

io::Task<void> swallow_socket(LongPath& path, io::Listener& listener) {
  auto socket = co_await listener.accept();
  REQUIRE(socket.has_value());
  std::size_t heard = 0;
  for (;;) {
    auto got = co_await socket->recv_buffer(io::BufferClass::kWire);
    if (!got || got->empty()) co_return;
    path.count(heard, got->size(), path.far_ring->now());
  }
}

io::Task<void> pour_socket(LongPath& path) {
  io::ConnectOptions options;
  options.to = {ip("10.0.0.2"), 80};
  auto socket = co_await io::connect(*path.near_ring, options);
  REQUIRE(socket.has_value());
  const std::string chunk(65536, 'x');
  for (std::size_t sent = 0; sent < kWarmUp + kMeasured + 10'000'000; sent += chunk.size()) {
    const auto ok = co_await socket->send_all(bytes(chunk));
    if (!ok) co_return;
  }
}

double bare_tcp(std::uint64_t bytes_per_second) {
  LongPath path(bytes_per_second);
  io::Listener listener = listen_far(path, 80);
  path.world.start(*path.far_ring, swallow_socket(path, listener));
  path.world.start(*path.near_ring, pour_socket(path));
  path.world.run_for(60s);
  REQUIRE(path.seconds > 0);
  return kMeasured / path.seconds;
}

struct Swallow final : ConnectHandler {
  explicit Swallow(LongPath& on) : path(on) {}
  LongPath& path;
  io::Task<void> on_connect(IncomingConnect connect) override {
    auto stream = connect.accept();
    REQUIRE(stream.has_value());
    std::size_t heard = 0;
    for (;;) {
      auto got = co_await stream->recv_buffer();
      if (!got || got->empty()) co_return;
      path.count(heard, got->size(), path.far_ring->now());
    }
  }
};

io::Task<void> serve_one(LongPath& path, io::Listener& listener, TunnelServer& server,
                         std::shared_ptr<const tls::Context> context) {
  auto socket = co_await listener.accept();
  REQUIRE(socket.has_value());
  (void)co_await server.serve(*std::move(socket), std::move(context));
  (void)path;
}

io::Task<void> pour_stream(LongPath& path, TunnelPool& pool, OpenRequest request,
                           std::vector<std::string>& sending_by) {
  auto opened = co_await pool.open(std::move(request));
  REQUIRE(opened.has_value());
  for (std::size_t sent = 0; sent < kWarmUp + kMeasured + 10'000'000; sent += io::kRelayBytes) {
    const auto ok = co_await opened->stream->send_buffer(io::Buffer::allocate(io::kRelayBytes));
    if (!ok) co_return;
  }
  sending_by = path.world.congestion_controls();
  opened->stream.reset();
  co_await pool.close(1s);
}

double through_a_stream(std::uint64_t bytes_per_second, std::vector<std::string>& sending_by) {
  LongPath path(bytes_per_second);
  const mesh::test::TestCa ca;
  const auto client =
      tls::Context::for_mesh(tls::Role::kClient, issue(ca, *path.near_ring, kWeb)).value();
  const auto server_context =
      tls::Context::for_mesh(tls::Role::kServer, issue(ca, *path.near_ring, kCart)).value();
  PoolOptions pool_options;
  pool_options.congestion = CongestionOptions::parse("auto").value();
  io::Listener listener = listen_far(path, 15008);
  Swallow handler(path);
  TunnelServer server(*path.far_ring, ServerOptions{}, handler);
  TunnelPool pool(*path.near_ring, pool_options);
  OpenRequest request{.key = {.source_uid = "a",
                              .source = id(kWeb),
                              .destination_uid = "b",
                              .accepted = {id(kCart)},
                              .address = {ip("10.0.0.2"), 15008}},
                      .context = client,
                      .authority = "10.0.0.2:80",
                      .headers = {}};
  path.world.start(*path.far_ring, serve_one(path, listener, server, server_context));
  path.world.start(*path.near_ring, pour_stream(path, pool, std::move(request), sending_by));
  path.world.run_for(120s);
  REQUIRE(path.seconds > 0);
  return kMeasured / path.seconds;
}

TEST_CASE("one stream fills a path of 50 ms to 90 % of bare TCP") {
  for (const std::uint64_t rate : {12'500'000u, 50'000'000u, 100'000'000u}) {
    INFO(rate);
    const double bare = bare_tcp(rate);
    std::vector<std::string> sending_by;
    const double tunnelled = through_a_stream(rate, sending_by);
    INFO("bare " << bare << " tunnelled " << tunnelled);
    CHECK(tunnelled >= 0.9 * bare);
    CHECK(sending_by ==
          std::vector<std::string>{""});  // as the system does, as soon as it is known
  }
}

}  // namespace
}  // namespace mesh::hbone::test
