#include "test/support/grpc_server.h"

#include <list>
#include <utility>

#include "mesh/base/check.h"
#include "mesh/grpc/transport.h"

namespace mesh::test {
namespace {

struct Connection;

struct CallState final : ServerCall {
  CallState(Connection& c, h2::StreamId i, h2::Headers h, Service* s)
      : connection(c), id(i), head(std::move(h)), service(s) {}
  const h2::Headers& headers() const override { return head; }
  void send(std::string_view message) override;
  void send_raw(std::string_view bytes) override;
  void finish(const grpc::Status& status) override;
  void reset(h2::ErrorCode code) override;

  Connection& connection;
  h2::StreamId id;
  h2::Headers head;
  Service* service;
  bool responded = false;
  bool finished = false;
  grpc::MessageReader reader;
};

struct Connection final : h2::Events {
  Connection(io::Ring& ring, io::Socket socket, const std::map<std::string, Service*>& s)
      : services(s), transport(ring, std::move(socket), h2::Options::for_server(), *this) {}

  void on_headers(h2::StreamId id, h2::Headers headers, bool) override {
    if (calls.contains(id)) return;
    const auto path = h2::find_header(headers, ":path");
    const auto service = services.find(std::string(path.value_or("")));
    Service* found = service == services.end() ? nullptr : service->second;
    auto call = std::make_unique<CallState>(*this, id, std::move(headers), found);
    CallState& state = *call;
    calls.emplace(id, std::move(call));
    if (found == nullptr) return state.finish({grpc::StatusCode::kUnimplemented, "no such method"});
    found->on_call(state);
  }
  void on_data(h2::StreamId id, tls::Slice slice) override {
    transport.h2().consumed(id, slice.size());
    transport.kick();
    std::span<const std::byte> bytes = slice.bytes();
    for (;;) {
      const auto call = calls.find(id);
      if (call == calls.end() || call->second->service == nullptr) return;
      auto message = call->second->reader.feed(bytes);
      MESH_CHECK(message.has_value());
      if (!*message) return;
      call->second->service->on_message(*call->second, **std::move(message));
    }
  }
  void on_end(h2::StreamId id) override {
    if (const auto call = calls.find(id); call != calls.end() && call->second->service) {
      call->second->service->on_client_done(*call->second);
    }
  }
  void gone(h2::StreamId id) {
    const auto call = calls.find(id);
    if (call == calls.end()) return;
    const std::unique_ptr<CallState> last = std::move(call->second);
    calls.erase(call);
    if (last->service != nullptr) last->service->on_gone(*last);
  }
  void on_reset(h2::StreamId id, h2::ErrorCode) override { gone(id); }
  void on_closed(h2::StreamId id) override { gone(id); }
  void on_sent(h2::StreamId) override {}
  void on_goaway(h2::ErrorCode, h2::StreamId) override {}

  const std::map<std::string, Service*>& services;
  grpc::Transport transport;
  std::map<h2::StreamId, std::unique_ptr<CallState>> calls;
  io::CancelScope* stop = nullptr;
};

void CallState::send_raw(std::string_view bytes) {
  if (finished) return;
  h2::Connection& h2 = connection.transport.h2();
  if (!std::exchange(responded, true)) {
    const h2::Headers head_out = {{":status", "200"}, {"content-type", "application/grpc"}};
    (void)h2.respond(id, head_out, false);
  }
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, 16000);
    bytes.remove_prefix(piece.size());
    h2.send(id, tls::Piece::copy_of(std::as_bytes(std::span(piece.data(), piece.size()))));
  }
  connection.transport.kick();
}

void CallState::send(std::string_view message) { send_raw(grpc::frame_message(message)); }

void CallState::finish(const grpc::Status& status) {
  if (std::exchange(finished, true)) return;
  h2::Headers end = {{"grpc-status", std::to_string(static_cast<int>(status.code))},
                     {"grpc-message", status.message}};
  // Ending the stream may be the end of this object.
  grpc::Transport& transport = connection.transport;
  if (responded) {
    (void)transport.h2().trailers(id, end);
  } else {
    responded = true;
    end.insert(end.begin(), {{":status", "200"}, {"content-type", "application/grpc"}});
    (void)transport.h2().respond(id, end, true);
  }
  transport.kick();
}

void CallState::reset(h2::ErrorCode code) {
  finished = true;
  grpc::Transport& transport = connection.transport;
  transport.h2().reset(id, code);
  transport.kick();
}

}  // namespace

struct GrpcServer::Impl {
  io::Ring& ring;
  std::shared_ptr<const tls::Context> context;
  io::Listener listener;
  std::map<std::string, Service*> services;
  std::list<std::unique_ptr<Connection>> connections{};
  std::uint64_t accepted = 0;

  io::Task<void> serve(io::Socket socket);
  io::Task<Result<Done>> serve_until_cut(Connection& connection);
};

namespace {

io::Listener listen_at(io::Ring& ring, net::SocketAddress at) {
  io::ListenOptions options;
  options.at = at;
  auto listener = io::Listener::listen(ring, options);
  MESH_CHECK(listener.has_value());
  return *std::move(listener);
}

}  // namespace

GrpcServer::GrpcServer(io::Ring& ring, std::shared_ptr<const tls::Context> context,
                       net::SocketAddress at, std::map<std::string, Service*> services)
    : impl_(std::make_unique<Impl>(Impl{.ring = ring,
                                        .context = std::move(context),
                                        .listener = listen_at(ring, at),
                                        .services = std::move(services)})) {}
GrpcServer::~GrpcServer() = default;

net::SocketAddress GrpcServer::address() const { return impl_->listener.local_address(); }
std::size_t GrpcServer::connections() const { return impl_->connections.size(); }
std::uint64_t GrpcServer::accepted() const { return impl_->accepted; }

io::Task<void> GrpcServer::run() {
  io::TaskScope scope(co_await io::current_cancel());
  for (;;) {
    auto socket = co_await impl_->listener.accept();
    if (!socket) break;
    ++impl_->accepted;
    scope.spawn(impl_->serve(*std::move(socket)));
  }
  scope.cancel();
  co_await scope.join();
}

io::Task<void> GrpcServer::Impl::serve(io::Socket socket) {
  connections.push_back(std::make_unique<Connection>(ring, std::move(socket), services));
  const auto here = std::prev(connections.end());
  Connection& connection = **here;
  io::CancelScope scope(co_await io::current_cancel());
  connection.stop = &scope;
  (void)co_await serve_until_cut(connection).under(scope);
  connection.stop = nullptr;
  connections.erase(here);
}

io::Task<Result<Done>> GrpcServer::Impl::serve_until_cut(Connection& connection) {
  CO_TRY_DO(co_await connection.transport.handshake(context));
  const Error ended = co_await connection.transport.run();
  (void)ended;
  co_return Done{};
}

void GrpcServer::cut_connections() {
  for (const auto& connection : impl_->connections) {
    if (connection->stop != nullptr) connection->stop->request();
  }
}

void GrpcServer::send_goaway(h2::ErrorCode code) {
  for (const auto& connection : impl_->connections) {
    connection->transport.h2().go_away(code);
    connection->transport.kick();
  }
}

void GrpcServer::drain_connections() {
  for (const auto& connection : impl_->connections) {
    connection->transport.h2().drain();
    connection->transport.kick();
  }
}

std::shared_ptr<const tls::Context> control_context(const TestCa& ca, tls::WallSeconds now,
                                                    const std::string& ip) {
  LeafOptions options;
  options.names = {"control.test"};
  options.addresses = {ip};
  options.not_before = now - std::chrono::minutes(1);
  options.not_after = now + std::chrono::hours(24);
  const tls::Credentials leaf = ca.issue(options);
  auto context = tls::Context::for_open_server(leaf.chain, leaf.key);
  MESH_CHECK(context.has_value());
  return *std::move(context);
}

}  // namespace mesh::test
