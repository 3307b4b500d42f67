#include "test/sim/traffic.h"

#include <algorithm>
#include <cstring>

#include "mesh/io/both.h"
#include "mesh/io/timer.h"

namespace mesh::sim {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kHeader = 16;
constexpr std::size_t kBlock = 16000;

// One direction of a stream at one of its ends.
struct End {
  io::Ring& ring;
  io::Socket& socket;
  Stream& stream;
  Traffic& traffic;
  bool client;
  bool down() const { return client; }  // what this end reads
};

std::string name_of(const Stream& stream) {
  return "stream " + std::to_string(stream.spec.id) + " from pod " +
         std::to_string(stream.spec.from) + " to " + stream.spec.to.to_string();
}

io::Task<Result<Done>> write_all(End end) {
  const bool down = !end.down();
  const StreamSpec& spec = end.stream.spec;
  const std::uint64_t total = down ? spec.download : spec.upload;
  const auto& resets_at = down ? spec.server_resets_at : spec.client_resets_at;
  std::uint64_t& sent = down ? end.stream.server_sent : end.stream.client_sent;
  std::vector<std::byte> block(kBlock);
  bool pauses = !down && spec.pause > io::Duration::zero();
  while (sent < total) {
    if (pauses && sent >= total / 2) {
      pauses = false;
      CO_TRY_DO(co_await io::sleep_for(end.ring, spec.pause));
    }
    std::size_t size = 1 + end.ring.random() % kBlock;
    size = std::min<std::uint64_t>(size, total - sent);
    for (std::size_t i = 0; i < size; ++i) block[i] = byte_at(spec.id, down, sent + i);
    CO_TRY_DO(co_await end.socket.send_all(std::span(block).first(size)));
    sent += size;
    if (resets_at && sent >= *resets_at) {
      end.socket.reset();
      co_return failed(Reason::kPeerReset, "reset on purpose");
    }
    if (end.ring.random() % 8 == 0) {
      CO_TRY_DO(
          co_await io::sleep_for(end.ring, std::chrono::microseconds(end.ring.random() % 20'000)));
    }
  }
  if (resets_at) {
    end.socket.reset();
    co_return failed(Reason::kPeerReset, "reset on purpose");
  }
  co_return end.socket.finish_sending();
}

Result<Done> check_bytes(const End& end, std::span<const std::byte> bytes, std::uint64_t& place) {
  for (const std::byte byte : bytes) {
    if (byte != byte_at(end.stream.spec.id, end.down(), place++)) {
      end.traffic.findings.add("bytes: " + name_of(end.stream) + " differs at " +
                               std::to_string(place - 1) + (end.down() ? " down" : " up"));
      return failed(Reason::kProtocol, "wrong byte");
    }
  }
  if (!end.client) end.traffic.on_bytes(end.stream);
  return Done{};
}

// A clean end is the end of everything, and of nothing less.
Result<Done> check_end(const End& end, std::uint64_t place) {
  const StreamSpec& spec = end.stream.spec;
  const std::uint64_t total = end.down() ? spec.download : spec.upload;
  const bool reset_first = (end.down() ? spec.server_resets_at : spec.client_resets_at).has_value();
  if (place == total && !reset_first) return Done{};
  end.traffic.findings.add("truncation: " + name_of(end.stream) + " ended at " +
                           std::to_string(place) + " of " + std::to_string(total) +
                           (end.down() ? " down" : " up"));
  return failed(Reason::kProtocol, "truncated");
}

io::Task<Result<Done>> read_all(End end) {
  std::uint64_t& place = end.down() ? end.stream.client_received : end.stream.server_received;
  const bool slow = end.down() ? end.stream.spec.slow_client : end.stream.spec.slow_server;
  std::vector<std::byte> own(slow ? 4000 : 0);
  for (;;) {
    if (slow) {
      CO_TRY_DO(
          co_await io::sleep_for(end.ring, std::chrono::microseconds(end.ring.random() % 30'000)));
      CO_TRY(const std::size_t size, co_await end.socket.recv(own));
      if (size == 0) break;
      CO_TRY_DO(check_bytes(end, std::span(own).first(size), place));
    } else {
      CO_TRY(const io::Buffer buffer, co_await end.socket.recv_buffer());
      if (buffer.empty()) break;
      CO_TRY_DO(check_bytes(end, buffer.bytes(), place));
    }
  }
  co_return check_end(end, place);
}

// Both directions, in the order that the stream asks for.
io::Task<Result<Done>> converse(End end) {
  const Order order = end.stream.spec.order;
  const bool first = (order == Order::kClientFirst) == end.client;
  if (order == Order::kTogether) {
    const auto both = co_await io::both(write_all(end), read_all(end));
    if (!both.first) co_return both.first;
    co_return both.second;
  }
  if (first) {
    CO_TRY_DO(co_await write_all(end));
    co_return co_await read_all(end);
  }
  CO_TRY_DO(co_await read_all(end));
  co_return co_await write_all(end);
}

}  // namespace

std::size_t Traffic::clean() const {
  return static_cast<std::size_t>(std::ranges::count_if(
      streams, [](const auto& one) { return one.second.client_clean && one.second.server_clean; }));
}

App::App(io::sim::World& world, io::sim::Host& host, Traffic& traffic, int pod)
    : world_(world),
      traffic_(traffic),
      pod_(pod),
      ring_(*host.make_ring({.relay_buffers = 8, .wire_buffers = 8})),
      killed_(*ring_) {}

App::~App() = default;

void App::serve() { world_.start(*ring_, run()); }

void App::open(Stream& one) {
  ring_->post([this, &one] {
    if (!over_ && !scope_.cancelled()) return scope_.spawn(client(one));
    one.client_over = true;
  });
}

void App::ask(Name& one, net::IpAddress own) {
  ring_->post([this, &one, own] {
    if (over_ || scope_.cancelled()) one.over = true;
    if (!one.over) scope_.spawn(ask_for(*ring_, own, one, traffic_.findings));
  });
}

void App::serve_names(NameServer& server) {
  ring_->post([this, &server] { scope_.spawn(server.serve(*ring_)); });
}

void App::kill() {
  ring_->post([this] { killed_.set(); });
}

io::Task<void> App::run() {
  auto listener = io::Listener::listen(
      *ring_, {.at = {net::IpAddress::v6({}), kAppPort}, .mark = {}, .netns = nullptr});
  MESH_CHECK(listener.has_value());
  listener_.emplace(*std::move(listener));
  scope_.spawn(accept_all());
  (void)co_await killed_.wait();
  listener_->close();
  scope_.cancel();
  co_await scope_.join();
  listener_.reset();
  over_ = true;
}

io::Task<void> App::accept_all() {
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

io::Task<void> App::serve_one(io::Socket socket) {
  std::array<std::byte, kHeader> header;
  std::size_t have = 0;
  while (have < header.size()) {
    const auto got = co_await socket.recv(std::span(header).subspan(have));
    if (!got || *got == 0) {
      socket.reset();
      co_return;
    }
    have += *got;
  }
  std::array<std::uint64_t, 2> fields;
  std::memcpy(fields.data(), header.data(), kHeader);
  const auto found = traffic_.streams.find(fields[1]);
  if (fields[0] != kMagic || found == traffic_.streams.end()) {
    traffic_.findings.add("bytes: pod " + std::to_string(pod_) + " got what no client sent");
    socket.reset();
    co_return;
  }
  Stream& one = found->second;
  if (one.reached != -2) traffic_.findings.add("bytes: " + name_of(one) + " arrived twice");
  one.reached = pod_;
  one.server_open = true;
  one.accepted = ring_->now();
  traffic_.on_reached(one, pod_, socket.peer_address());
  Result<Done> outcome = Done{};
  if (one.spec.stall > io::Duration::zero()) {
    one.stalled_until = ring_->now() + one.spec.stall;
    outcome = co_await io::sleep_for(*ring_, one.spec.stall);
  }
  if (outcome) {
    outcome = co_await converse(
        End{.ring = *ring_, .socket = socket, .stream = one, .traffic = traffic_, .client = false});
  }
  one.server_clean = outcome.has_value();
  one.server_open = false;
  if (!outcome) socket.reset();
}

// The host itself may be short of descriptors: that is no news about the mesh.
io::Task<Result<io::Socket>> App::dial(const Stream& one) {
  for (;;) {
    auto socket = co_await io::connect(
        *ring_, {.to = one.spec.to, .from = {}, .mark = {}, .netns = nullptr, .deadline = 10s});
    if (socket || socket.error().reason != Reason::kExhausted) co_return socket;
    CO_TRY_DO(co_await io::sleep_for(*ring_, 1ms));
  }
}

io::Task<void> App::client(Stream& one) {
  one.begun = ring_->now();
  auto socket = co_await dial(one);
  if (!socket) {
    one.client_failed = socket.error().reason;
    one.client_over = true;
    co_return;
  }
  const std::array<std::uint64_t, 2> fields = {kMagic, one.spec.id};
  Result<Done> outcome = co_await socket->send_all(std::as_bytes(std::span(fields)));
  if (outcome) {
    outcome = co_await converse(
        End{.ring = *ring_, .socket = *socket, .stream = one, .traffic = traffic_, .client = true});
  }
  one.client_clean = outcome.has_value();
  if (!outcome) {
    one.client_failed = outcome.error().reason;
    socket->reset();
  }
  one.client_over = true;
}

}  // namespace mesh::sim
