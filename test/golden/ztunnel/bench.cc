#include "test/golden/ztunnel/bench.h"

#include <catch2/catch_test_macros.hpp>

#include "mesh/io/timer.h"

namespace mesh::ztunnel {

using io::Task;

net::SocketAddress at(const char* text) { return *net::SocketAddress::parse(text); }

Task<std::size_t> read_bytes(io::Socket& socket, std::size_t most) {
  std::size_t total = 0;
  while (total < most) {
    const auto got = co_await socket.recv_buffer();
    if (!got || got->empty()) break;
    total += got->size();
  }
  co_return total;
}

Task<void> send(io::Socket& socket, std::size_t bytes) {
  const std::vector<std::byte> data(bytes);
  (void)co_await socket.send_all(data);
}

namespace {

Task<void> serve_one(io::Socket socket, Serve how) {
  switch (how) {
    case Serve::kEcho:
      for (;;) {
        auto got = co_await socket.recv_buffer();
        if (!got || got->empty()) break;
        (void)co_await socket.send_all(got->bytes());
      }
      (void)socket.finish_sending();
      break;
    case Serve::kFiveThenClose:
      co_await send(socket, 5);
      (void)socket.finish_sending();
      (void)co_await read_bytes(socket, 1 << 20);
      break;
    case Serve::kResetAfterFirst:
      (void)co_await read_bytes(socket, 1);
      socket.reset();
      break;
    case Serve::kSized:
      (void)co_await read_bytes(socket, 1000);
      co_await send(socket, 500);
      (void)socket.finish_sending();
      (void)co_await read_bytes(socket, 1 << 20);
      break;
  }
}

Task<void> accept_all(io::Listener& listener, Serve how) {
  io::TaskScope scope;
  for (;;) {
    auto socket = co_await listener.accept();
    if (!socket) break;
    scope.spawn(serve_one(*std::move(socket), how));
  }
  co_await scope.join();
}

}  // namespace

Application::Application(io::sim::World& world, io::Ring& ring,
                         std::vector<std::pair<std::uint16_t, Serve>> ports)
    : world_(world), ring_(ring) {
  listeners.reserve(ports.size());
  for (const auto& [port, how] : ports) {
    io::ListenOptions options;
    options.at = {net::IpAddress::v6({}), port};
    listeners.push_back(*io::Listener::listen(ring, options));
    ways.push_back(how);
  }
  world.start(ring, run());
  world.run_for(std::chrono::milliseconds(1));
}

Application::~Application() {
  for (io::Listener& listener : listeners) listener.close();
  world_.run_for(std::chrono::seconds(5));
}

Task<void> Application::run() {
  io::TaskScope scope;
  for (std::size_t i = 0; i < listeners.size(); ++i) {
    scope.spawn(accept_all(listeners[i], ways[i]));
  }
  co_await scope.join();
}

Task<void> dial(io::Ring& ring, net::SocketAddress to, Dial how, Dialled& seen) {
  io::ConnectOptions options;
  options.to = to;
  auto socket = co_await io::connect(ring, options);
  if (!socket) {
    seen.reset = true;
    co_return;
  }
  if (how == Dial::kHundred || how == Dial::kResetAfterHundred) co_await send(*socket, 100);
  if (how == Dial::kThousand) co_await send(*socket, 1000);
  if (how == Dial::kResetAfterHundred) {
    (void)co_await read_bytes(*socket, 100);
    socket->reset();
    co_return;
  }
  if (how == Dial::kTenThenWait) co_await send(*socket, 10);
  if (how != Dial::kTenThenWait) (void)socket->finish_sending();
  for (;;) {
    const auto got = co_await socket->recv_buffer();
    if (!got) seen.reset = true;
    if (!got || got->empty()) break;
    seen.received += got->size();
  }
}

Task<void> ask(LittleMesh& mesh, const char* id, std::string authority, Tunnelled& seen) {
  hbone::TunnelPool pool(*mesh.peer_ring, {});
  const auto certificate = mesh.certificate(id, mesh.ca);
  hbone::OpenRequest request{
      .key = {.source_uid = "peer",
              .source = certificate->id,
              .destination_uid = "server",
              .accepted = {*net::SpiffeId::parse("spiffe://cluster.local/ns/app/sa/server")},
              .address = at("10.78.0.2:15008")},
      .context = certificate->client,
      .authority = std::move(authority),
      .headers = {}};
  {
    auto outcome = co_await pool.open(std::move(request));
    if (!outcome) seen.failure = outcome.error().reason;
    if (outcome) seen.status = outcome->status;
    if (outcome && outcome->stream) {
      const std::vector<std::byte> data(100);
      (void)co_await outcome->stream->send_all(data);
      (void)outcome->stream->finish_sending();
      for (;;) {
        const auto got = co_await outcome->stream->recv_buffer();
        if (!got || got->empty()) break;
      }
    }
  }
  co_await pool.close(std::chrono::seconds(1));
}

Bench::Told Bench::play(const std::function<void()>& act, Keys dropped) {
  const auto one = counters(mesh.one.metrics()), two = counters(mesh.two.metrics());
  act();
  return {.client = access_lines(mesh.one, dropped),
          .server = access_lines(mesh.two, dropped),
          .client_metrics = changes(one, counters(mesh.one.metrics())),
          .server_metrics = changes(two, counters(mesh.two.metrics()))};
}

Bench::Told Bench::play_dial(const char* to, Dial how, Dialled& seen, Keys dropped) {
  return play([&] { mesh.run(*mesh.client_ring, dial(*mesh.client_ring, at(to), how, seen)); },
              dropped);
}

void Bench::expect_recorded(const std::string& situation, const Told& told, Keys dropped) {
  INFO(situation);
  CHECK(told.client == recorded_lines(situation, "client", dropped));
  CHECK(told.server == recorded_lines(situation, "server", dropped));
  CHECK(told.client_metrics == recorded_changes(situation, "client"));
  CHECK(told.server_metrics == recorded_changes(situation, "server"));
}

}  // namespace mesh::ztunnel
