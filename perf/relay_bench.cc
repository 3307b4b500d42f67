// What mesh/io costs: bytes and round trips through a relay of plain TCP, on a thread of its own,
// between a client and a server that use blocking sockets. Counted is the processor time of the
// relay's thread only, in microseconds a round trip and seconds a gigabyte.

#include <benchmark/benchmark.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ctime>
#include <future>
#include <thread>
#include <vector>

#include "mesh/io/both.h"
#include "mesh/io/descriptor.h"
#include "mesh/io/event.h"
#include "mesh/io/socket.h"
#include "mesh/io/task_scope.h"
#include "mesh/io/worker.h"

namespace mesh::io {
namespace {

Task<Result<Done>> pump(Socket& from, Socket& to) {
  for (;;) {
    CO_TRY(const Buffer buffer, co_await from.recv_buffer());
    if (buffer.empty()) co_return to.finish_sending();
    CO_TRY_DO(co_await to.send_all(buffer.bytes()));
  }
}

// The same, sending all that was read ahead at once.
Task<Result<Done>> pump_gathering(Socket& from, Socket& to) {
  for (;;) {
    CO_TRY(Buffer first, co_await from.recv_buffer());
    if (first.empty()) co_return to.finish_sending();
    std::array<Buffer, 8> buffers;
    std::array<std::span<const std::byte>, 8> pieces;
    std::size_t count = 0;
    buffers[count++] = std::move(first);
    while (count < buffers.size()) {
      auto more = from.take_ready();
      if (!more) break;
      buffers[count++] = *std::move(more);
    }
    for (std::size_t i = 0; i < count; ++i) pieces[i] = buffers[i].bytes();
    CO_TRY_DO(co_await to.send_all(std::span(pieces).first(count)));
  }
}

enum class Way : std::uint8_t { kOneByOne, kGathering };

Task<void> relay(Ring& ring, Socket client, net::SocketAddress to, Way way) {
  ConnectOptions options;
  options.to = to;
  auto server = co_await connect(ring, options);
  if (!server) co_return;
  if (way == Way::kGathering) {
    co_await both(pump_gathering(client, *server), pump_gathering(*server, client));
  } else {
    co_await both(pump(client, *server), pump(*server, client));
  }
}

Task<void> serve(Ring& ring, net::SocketAddress to, int connections, Way way,
                 std::promise<net::SocketAddress>& address, Event*& stop) {
  Event stopped(ring);
  stop = &stopped;
  ListenOptions options;
  options.at = {net::IpAddress::v4({127, 0, 0, 1}), 0};
  auto listener = Listener::listen(ring, options);
  address.set_value(listener->local_address());
  TaskScope scope;
  for (int i = 0; i < connections; ++i) {
    auto client = co_await listener->accept();
    if (client) scope.spawn(relay(ring, *std::move(client), to, way));
  }
  co_await scope.join();
  co_await stopped.wait();  // the thread's clock goes with the thread
}

sockaddr_in raw(const net::SocketAddress& address) {
  sockaddr_storage storage;
  address.to_sockaddr(storage);
  return reinterpret_cast<const sockaddr_in&>(storage);
}

Descriptor dial(const net::SocketAddress& to) {
  Descriptor fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = raw(to);
  const int one = 1;
  setsockopt(fd.get(), SOL_TCP, TCP_NODELAY, &one, sizeof one);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) abort();
  return fd;
}

// A relay on a worker, and its thread's processor time.
struct Bench {
  Bench(int connections, Way way, const net::SocketAddress& server) {
    auto made = Worker::start("relay", {}, [this, connections, way, server](Ring& ring) {
      pthread_getcpuclockid(pthread_self(), &clock);
      return serve(ring, server, connections, way, address, stop);
    });
    worker = *std::move(made);
    at = address.get_future().get();
  }
  double cpu_seconds() const {
    timespec time{};
    clock_gettime(clock, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  }

  void finish() {
    worker->post([this](Ring&) { stop->set(); });
    worker->join();
  }

  clockid_t clock{};
  Event* stop = nullptr;
  std::promise<net::SocketAddress> address;
  net::SocketAddress at;
  std::unique_ptr<Worker> worker;
};

struct Server {
  explicit Server(int connections) {
    listener = Descriptor(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bind(listener.get(), reinterpret_cast<const sockaddr*>(&any), sizeof any);
    listen(listener.get(), connections);
    sockaddr_storage storage{};
    socklen_t length = sizeof storage;
    getsockname(listener.get(), reinterpret_cast<sockaddr*>(&storage), &length);
    at = *net::SocketAddress::from_sockaddr(storage);
  }
  template <class Handle>
  void start(int connections, Handle handle) {
    thread = std::jthread([this, connections, handle] {
      std::vector<std::jthread> each;
      for (int i = 0; i < connections; ++i) {
        const int fd = accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC);
        const int one = 1;
        setsockopt(fd, SOL_TCP, TCP_NODELAY, &one, sizeof one);
        each.emplace_back([handle, fd] { handle(Descriptor(fd)); });
      }
    });
  }
  Descriptor listener;
  net::SocketAddress at;
  std::jthread thread;
};

void echo(const Descriptor& fd) {
  std::vector<std::byte> memory(65536);
  for (;;) {
    const ssize_t size = recv(fd.get(), memory.data(), memory.size(), 0);
    if (size <= 0) return;
    send(fd.get(), memory.data(), static_cast<std::size_t>(size), MSG_NOSIGNAL);
  }
}

void swallow(const Descriptor& fd) {
  std::vector<std::byte> memory(262144);
  while (recv(fd.get(), memory.data(), memory.size(), 0) > 0) {
  }
}

void round_trips(benchmark::State& state) {
  const int connections = static_cast<int>(state.range(0));
  Server server(connections);
  server.start(connections, echo);
  Bench bench(connections, Way::kOneByOne, server.at);
  std::vector<Descriptor> clients;
  for (int i = 0; i < connections; ++i) clients.push_back(dial(bench.at));
  std::array<std::byte, 1024> memory{};
  const double before = bench.cpu_seconds();
  for (auto _ : state) {
    for (const Descriptor& fd : clients) send(fd.get(), memory.data(), memory.size(), 0);
    for (const Descriptor& fd : clients) {
      recv(fd.get(), memory.data(), memory.size(), MSG_WAITALL);
    }
  }
  const auto trips = static_cast<double>(state.iterations()) * connections;
  state.counters["relay_cpu_us"] = (bench.cpu_seconds() - before) * 1e6 / trips;
  clients.clear();
  bench.finish();
}
BENCHMARK(round_trips)->Arg(1)->Arg(16)->Arg(64)->UseRealTime();

void bulk(benchmark::State& state) {
  Server server(1);
  server.start(1, swallow);
  Bench bench(1, static_cast<Way>(state.range(0)), server.at);
  Descriptor client = dial(bench.at);
  const std::vector<std::byte> memory(262144);
  const double before = bench.cpu_seconds();
  for (auto _ : state) send(client.get(), memory.data(), memory.size(), MSG_NOSIGNAL);
  client.close();
  server.thread.join();
  const double bytes = static_cast<double>(state.iterations()) * 262144;
  state.counters["relay_cpu_s_per_GB"] = (bench.cpu_seconds() - before) * 1e9 / bytes;
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes));
  bench.finish();
}
BENCHMARK(bulk)->ArgName("gathering")->Arg(0)->Arg(1)->UseRealTime();

}  // namespace
}  // namespace mesh::io

BENCHMARK_MAIN();
