#include "mesh/hbone/tunnel_server.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "mesh/hbone/tunnel.h"
#include "mesh/io/task_scope.h"

namespace mesh::hbone {
namespace {

std::optional<std::string> copy(const h2::Headers& headers, std::string_view name) {
  const auto value = h2::find_header(headers, name);
  return value ? std::optional<std::string>(*value) : std::nullopt;
}

void answer(StreamState& state, int status, const h2::Headers& more, bool end) {
  state.unanswered = false;
  if (!state.failure) state.disarm();
  if (state.tunnel == nullptr || state.failure) return;
  h2::Headers headers = {{":status", std::to_string(status)}};
  headers.insert(headers.end(), more.begin(), more.end());
  if (!state.tunnel->h2().respond(state.id, headers, end)) {
    state.tunnel->h2().reset(state.id, h2::ErrorCode::kInternalError);
  }
  state.tunnel->wake_writer();
}

}  // namespace

IncomingConnect::IncomingConnect(ConnectRequest request, std::shared_ptr<StreamState> state)
    : request_(std::make_unique<ConnectRequest>(std::move(request))), state_(std::move(state)) {}
IncomingConnect::IncomingConnect(IncomingConnect&&) noexcept = default;

IncomingConnect& IncomingConnect::operator=(IncomingConnect&& other) noexcept {
  if (this != &other) {
    refuse(503);
    request_ = std::move(other.request_);
    state_ = std::move(other.state_);
  }
  return *this;
}

IncomingConnect::~IncomingConnect() { refuse(503); }

Result<Stream> IncomingConnect::accept(const h2::Headers& headers) {
  const std::shared_ptr<StreamState> state = std::exchange(state_, nullptr);
  MESH_CHECK(state != nullptr);
  for (auto* label : {&request_->baggage, &request_->forwarded, &request_->traceparent,
                      &request_->x_forwarded_network}) {
    label->reset();
  }
  if (state->failure) return std::unexpected(*state->failure);
  answer(*state, 200, headers, false);
  return Stream(state);
}

void IncomingConnect::refuse(int status) {
  const std::shared_ptr<StreamState> state = std::exchange(state_, nullptr);
  if (state) answer(*state, status, {}, true);
}

io::Task<Result<Done>> IncomingConnect::wait_hang_up() {
  const std::shared_ptr<StreamState> state = state_;
  while (state && !state->failure) {
    if (!co_await state->hung_up.wait()) co_return failed(Reason::kCancelled, "wait for hang-up");
  }
  co_return Done{};
}

struct TunnelServer::Impl {
  io::Ring& ring;
  ServerOptions options;
  ConnectHandler& handler;
  std::vector<Tunnel*> tunnels{};  // in the order of their coming: they end in it too
  PeerQuotas quotas{options.limits, options.h2.budget};
  std::size_t serving = 0;
  bool draining = false;
  bool ended = false;
};

namespace {

// One accepted connection.
struct Serving final : Tunnel::Listener {
  Serving(ConnectHandler& to, PeerQuotas& all, io::Duration answer_within, io::CancelScope* outer)
      : handler(to), quotas(all), answer_deadline(answer_within), handlers(outer) {}
  ~Serving() override {
    if (peer != nullptr) quotas.leave(*peer);
  }

  ConnectHandler& handler;
  PeerQuotas& quotas;
  PeerQuotas::Peer* peer = nullptr;
  io::Duration answer_deadline;
  io::TaskScope handlers;
  Tunnel* tunnel = nullptr;

  h2::CreditBudget* on_identified(const tls::Session& session) override {
    if (!session.peer()) return nullptr;  // refused further on
    peer = &quotas.enter(*session.peer());
    return &peer->budget;
  }

  void on_request(std::shared_ptr<StreamState> state, h2::Headers headers) override {
    if (!quotas.has_room_for_stream(*peer)) {
      refused(Reason::kExhausted, headers);
      return answer(*state, 503, {}, true);
    }
    ConnectRequest request{
        .peer = *tunnel->session().peer(),
        .peer_address = tunnel->socket().peer_address(),
        .local_address = tunnel->socket().local_address(),
        .authority = std::string(h2::find_header(headers, ":authority").value_or("")),
        .baggage = copy(headers, "baggage"),
        .forwarded = copy(headers, "forwarded"),
        .traceparent = copy(headers, "traceparent"),
        .x_forwarded_network = copy(headers, "x-forwarded-network"),
    };
    // The task owns the request from here on; a frame of ours for the life of the stream would keep
    // a second one.
    IncomingConnect connect(std::move(request), state);
    handlers.spawn(handle(handler.on_connect(std::move(connect)), std::move(state)));
  }

  void on_refused(const h2::Headers& headers) override { refused(Reason::kMalformed, headers); }
  void refused(Reason reason, const h2::Headers& headers) {
    handler.on_refused({.reason = reason,
                        .peer = *tunnel->session().peer(),
                        .peer_address = tunnel->socket().peer_address(),
                        .local_address = tunnel->socket().local_address(),
                        .method = h2::method_of(headers)});
  }

  io::Task<void> handle(io::Task<void> task, std::shared_ptr<StreamState> state) {
    io::CancelScope scope(co_await io::current_cancel());
    state->handler = &scope;
    ++peer->streams;
    if (!state->failure) state->await_answer(answer_deadline);
    co_await std::move(task).under(scope);
    state->handler = nullptr;
    --peer->streams;
    state->disarm();
  }
};

}  // namespace

TunnelServer::TunnelServer(io::Ring& ring, ServerOptions options, ConnectHandler& handler)
    : impl_(new Impl{.ring = ring, .options = std::move(options), .handler = handler}) {}

std::optional<PeerQuotas::Handshake> TunnelServer::admit(const io::Socket& socket) {
  return impl_->quotas.begin_handshake(socket.peer_address().ip);
}

io::Task<Served> TunnelServer::serve(io::Socket socket,
                                     std::shared_ptr<const tls::Context> context) {
  auto handshake = admit(socket);
  if (!handshake) {
    socket.reset();
    co_return Served{.end = failed(Reason::kExhausted, "tls handshakes")};
  }
  co_return co_await serve(std::move(socket), std::move(context), *std::move(handshake));
}

TunnelServer::~TunnelServer() { MESH_CHECK(impl_->serving == 0); }

io::Task<Served> TunnelServer::serve(io::Socket socket, std::shared_ptr<const tls::Context> context,
                                     PeerQuotas::Handshake handshake) {
  Impl& impl = *impl_;
  if (impl.ended) co_return Served{.end = failed(Reason::kDraining, "tunnel server")};
  tls::SessionOptions session_options;
  session_options.now = std::chrono::floor<std::chrono::seconds>(impl.ring.wall_now());
  auto session = tls::Session::create(std::move(context), std::move(session_options));
  if (!session) co_return Served{.end = std::unexpected(session.error())};

  ++impl.serving;
  Serving serving(impl.handler, impl.quotas, impl.options.answer_deadline,
                  co_await io::current_cancel());
  TunnelOptions options{.h2 = impl.options.h2,
                        .idle_limit = impl.options.idle_deadline,
                        .first_limit = impl.options.first_deadline,
                        .congestion = impl.options.congestion};
  Tunnel tunnel(impl.ring, std::move(socket), *std::move(session), std::move(options), serving);
  serving.tunnel = &tunnel;
  impl.tunnels.push_back(&tunnel);

  Result<Done> result = co_await io::with_deadline(impl.ring, impl.options.handshake_deadline,
                                                   "tls handshake", tunnel.handshake());
  handshake.end();
  if (result && !tunnel.session().peer()) {
    result = failed(Reason::kNoCertificate, "tls handshake");  // an open server's context
  }
  const bool identified = result.has_value();
  const bool too_many = result && impl.quotas.too_many_tunnels(*serving.peer);
  if (too_many) tunnel.end({.reason = Reason::kExhausted, .during = "tunnels of a peer"});
  if (result) {
    if (impl.draining) tunnel.drain();
    if (impl.ended) tunnel.end({.reason = Reason::kDraining, .during = "tunnel"});
    result = co_await tunnel.run();
  }
  impl.tunnels.erase(std::ranges::find(impl.tunnels, &tunnel));
  co_await serving.handlers.join();
  --impl.serving;
  co_return Served{.identified = identified, .end = result};
}

void TunnelServer::drain() {
  impl_->draining = true;
  for (Tunnel* tunnel : impl_->tunnels) tunnel->drain();
}

void TunnelServer::end() {
  impl_->ended = true;
  for (Tunnel* tunnel : impl_->tunnels) {
    tunnel->end({.reason = Reason::kDraining, .during = "drain deadline"});
  }
}

std::size_t TunnelServer::connections() const { return impl_->serving; }

}  // namespace mesh::hbone
