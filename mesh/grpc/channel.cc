#include "mesh/grpc/channel.h"

#include <algorithm>
#include <deque>
#include <map>
#include <span>
#include <utility>

#include "mesh/base/check.h"
#include "mesh/grpc/resolver.h"
#include "mesh/grpc/response.h"
#include "mesh/grpc/transport.h"
#include "mesh/io/timer.h"

namespace mesh::grpc {
namespace {

constexpr const char* kDuring = "grpc call";
constexpr std::size_t kPieceBytes = io::kRelayBytes;
constexpr std::uint32_t kHeaderListMax = 64 * 1024;
constexpr io::Duration kAttemptMin = std::chrono::seconds(1);

std::vector<HeaderView> views(const h2::Headers& headers) {
  std::vector<HeaderView> out;
  out.reserve(headers.size());
  for (const h2::Header& header : headers) out.push_back({header.name, header.value});
  return out;
}

// "grpc-timeout": at most eight digits and a unit.
std::string timeout_value(io::Duration deadline) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(deadline).count();
  if (ms < 100'000'000) return std::to_string(std::max<std::int64_t>(ms, 1)) + "m";
  return std::to_string(std::min<std::int64_t>(ms / 1000, 99'999'999)) + "S";
}

}  // namespace

// A call's half of the conversation. Shared by the Call and, until the stream ends, the channel.
struct Call::Impl {
  Impl(io::Ring& ring, std::size_t message_max)
      : reader(message_max), received(ring), sendable(ring) {}

  Transport* transport = nullptr;  // null once the connection or the stream is gone
  std::map<h2::StreamId, Call::Impl*>* calls = nullptr;
  h2::StreamId id = 0;
  ResponseReader reader;
  bool got_headers = false;
  // What came and was not read yet, in this order.
  std::deque<tls::Slice> data;
  std::optional<h2::Headers> trailers;
  bool end = false;
  std::optional<h2::ErrorCode> reset;
  std::optional<Error> lost;
  io::Event received;
  io::Event sendable;

  void wake() {
    received.set();
    sendable.set();
  }
  // The stream is over on the wire.
  void detach() {
    if (calls != nullptr) calls->erase(id);
    calls = nullptr;
    transport = nullptr;
  }
  void abandon() {
    if (transport == nullptr) return;
    Transport& wire = *transport;
    detach();
    wire.h2().reset(id, h2::ErrorCode::kCancel);
    wire.kick();
  }
  Result<std::optional<std::string>> read_data();
  void read_end();
};

Call::Call(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Call::Call(Call&&) noexcept = default;
Call& Call::operator=(Call&& other) noexcept {
  if (this == &other) return *this;
  if (impl_) impl_->abandon();
  impl_ = std::move(other.impl_);
  return *this;
}
Call::~Call() {
  if (impl_) impl_->abandon();
}

io::Task<Result<Done>> Call::send(std::string_view message) {
  if (impl_->transport == nullptr) co_return failed(Reason::kPeerReset, kDuring);
  const std::string framed = frame_message(message);
  for (std::string_view rest = framed; !rest.empty();) {
    const std::string_view piece = rest.substr(0, kPieceBytes);
    rest.remove_prefix(piece.size());
    impl_->transport->h2().send(impl_->id, tls::Piece::copy_of(std::as_bytes(std::span(piece))));
  }
  impl_->transport->kick();
  for (;;) {
    impl_->sendable.reset();
    if (impl_->transport == nullptr) co_return failed(Reason::kPeerReset, kDuring);
    if (impl_->transport->h2().unsent(impl_->id) == 0) co_return Done{};
    CO_TRY_DO(co_await impl_->sendable.wait());
  }
}

io::Task<Result<Done>> Call::finish_sending() {
  if (impl_->transport == nullptr) co_return failed(Reason::kPeerReset, kDuring);
  impl_->transport->h2().finish(impl_->id);
  impl_->transport->kick();
  co_return Done{};
}

io::Task<Result<std::optional<std::string>>> Call::receive() {
  for (;;) {
    impl_->received.reset();
    auto message = impl_->read_data();
    if (!message) {
      impl_->abandon();
      co_return message;
    }
    if (*message) co_return message;
    impl_->read_end();
    if (impl_->reader.ended()) co_return std::nullopt;
    CO_TRY_DO(co_await impl_->received.wait());
  }
}

// The next message of what has arrived; the credit for its bytes goes back as they are taken.
Result<std::optional<std::string>> Call::Impl::read_data() {
  while (!data.empty()) {
    tls::Slice& front = data.front();
    std::span<const std::byte> bytes = front.bytes();
    auto message = reader.feed(bytes);
    const std::size_t taken = front.size() - bytes.size();
    front.drop_front(taken);
    if (front.empty()) data.pop_front();
    if (transport != nullptr) {
      transport->h2().consumed(id, taken);
      transport->kick();
    }
    if (!message || *message) return message;
  }
  return std::nullopt;
}

void Call::Impl::read_end() {
  if (trailers) reader.on_headers(views(*std::exchange(trailers, std::nullopt)), end);
  if (end) reader.on_end();
  if (reset) reader.on_reset(static_cast<std::uint32_t>(*reset));
  if (lost) reader.on_lost(*lost);
}

const Status& Call::status() const { return impl_->reader.status(); }

struct Channel::Impl final : h2::Events {
  Impl(io::Ring& r, ChannelOptions o) : ring(r), options(std::move(o)), turn_over(r) {}

  io::Ring& ring;
  ChannelOptions options;
  ChannelCounters counters;
  std::unique_ptr<Transport> transport;
  std::optional<io::TaskScope> scope;  // runs the transport
  bool alive = false;                  // it runs and takes calls
  Error last_error{.reason = Reason::kPeerClosed, .during = kDuring};
  std::map<h2::StreamId, Call::Impl*> calls;
  // connect() and close() take turns.
  enum class Busy : std::uint8_t { kNo, kConnecting, kClosing };
  Busy busy = Busy::kNo;
  io::Event turn_over;
  Result<Done> attempt_result = Done{};

  io::Task<Result<Done>> connect_now();
  io::Task<Result<Done>> connect_to(net::IpAddress ip, std::shared_ptr<const tls::Context> context,
                                    io::Duration patience);
  io::Task<Result<Done>> connect_any(std::shared_ptr<const tls::Context> context);
  io::Task<void> run_transport();
  io::Task<void> stop();
  void end_calls(const Error& error);
  Call::Impl* find(h2::StreamId id) {
    const auto found = calls.find(id);
    return found == calls.end() ? nullptr : found->second;
  }

  void on_headers(h2::StreamId id, h2::Headers headers, bool end) override;
  void on_data(h2::StreamId id, tls::Slice bytes) override;
  void on_end(h2::StreamId id) override;
  void on_reset(h2::StreamId id, h2::ErrorCode code) override;
  void on_closed(h2::StreamId id) override;
  void on_sent(h2::StreamId id) override;
  void on_goaway(h2::ErrorCode code, h2::StreamId last) override;
};

Channel::Channel(io::Ring& ring, ChannelOptions options)
    : impl_(std::make_unique<Impl>(ring, std::move(options))) {}
Channel::~Channel() { MESH_CHECK(!impl_->scope); }

bool Channel::connected() const { return impl_->alive; }

io::Duration Channel::keepalive_interval() const { return impl_->options.keepalive_interval; }

const ChannelCounters& Channel::counters() const { return impl_->counters; }

// Several calls may want the connection at once; one of them makes it, the others take its result.
io::Task<Result<Done>> Channel::connect() {
  Impl& self = *impl_;
  while (self.busy != Impl::Busy::kNo) {
    const bool attempt = self.busy == Impl::Busy::kConnecting;
    CO_TRY_DO(co_await self.turn_over.wait());
    if (attempt) co_return self.attempt_result;
  }
  if (self.alive) co_return Done{};
  self.busy = Impl::Busy::kConnecting;
  self.turn_over.reset();
  self.attempt_result = co_await io::with_deadline(self.ring, self.options.connect_deadline,
                                                   "grpc connect", self.connect_now());
  ++(self.attempt_result ? self.counters.connects : self.counters.connect_failures);
  self.busy = Impl::Busy::kNo;
  self.turn_over.set();
  co_return self.attempt_result;
}

io::Task<Result<Done>> Channel::Impl::connect_now() {
  if (!calls.empty()) co_return failed(Reason::kDraining, "grpc connect");
  co_await stop();
  CO_TRY(const std::string pem, options.roots());
  CO_TRY(tls::TrustBundle roots, tls::TrustBundle::parse_pem(pem));
  const std::string& name = options.server_name.empty() ? options.target.host : options.server_name;
  const tls::NamedServer server{.roots = std::move(roots), .name = name};
  CO_TRY(auto context, tls::Context::for_named_server(server));
  CO_TRY_DO(co_await connect_any(std::move(context)));
  alive = true;
  scope.emplace();
  scope->spawn(run_transport());
  co_return Done{};
}

io::Task<Result<Done>> Channel::Impl::connect_any(std::shared_ptr<const tls::Context> context) {
  CO_TRY(const auto ips, co_await resolve(ring, options.target.host));
  const io::Duration share = options.connect_deadline / static_cast<std::int64_t>(ips.size());
  Result<Done> connected = failed(Reason::kUnreachable, "grpc connect");
  for (const net::IpAddress& ip : ips) {
    connected = co_await connect_to(ip, context, std::max(share, kAttemptMin));
    if (connected || connected.error().reason == Reason::kCancelled) break;
  }
  co_return connected;
}

io::Task<Result<Done>> Channel::Impl::connect_to(net::IpAddress ip,
                                                 std::shared_ptr<const tls::Context> context,
                                                 io::Duration patience) {
  io::ConnectOptions to;
  to.to = {.ip = ip, .port = options.target.port};
  to.deadline = patience;
  CO_TRY(io::Socket socket, co_await io::connect(ring, std::move(to)));
  h2::Options h2_options = h2::Options::for_client();
  h2_options.enable_push = 0;
  h2_options.max_header_list = kHeaderListMax;
  h2_options.ping_interval = options.keepalive_interval;
  h2_options.ping_timeout = options.keepalive_patience;
  auto opened = std::make_unique<Transport>(ring, std::move(socket), h2_options, *this);
  CO_TRY_DO(co_await io::with_deadline(ring, patience, "tls handshake",
                                       opened->handshake(std::move(context))));
  transport = std::move(opened);
  co_return Done{};
}

io::Task<void> Channel::Impl::run_transport() {
  last_error = co_await transport->run();
  alive = false;
  if (last_error.reason == Reason::kTimedOut) ++counters.keepalive_failures;
  counters.bytes_received += transport->bytes_received();
  counters.bytes_sent += transport->bytes_sent();
  end_calls(last_error);
}

void Channel::Impl::end_calls(const Error& error) {
  for (auto& [id, call] : std::exchange(calls, {})) {
    call->calls = nullptr;
    call->transport = nullptr;
    call->lost = error;
    call->wake();
  }
}

// Joins what ran for the last connection.
io::Task<void> Channel::Impl::stop() {
  if (!scope) co_return;
  alive = false;
  scope->cancel();
  co_await scope->join();
  scope.reset();
  transport.reset();
}

// Not cancelled from outside: whoever closes is often being cancelled himself.
io::Task<void> Channel::close() {
  Impl& self = *impl_;
  io::CancelScope unhurried;
  while (self.busy != Impl::Busy::kNo) co_await self.turn_over.wait().under(unhurried);
  self.busy = Impl::Busy::kClosing;
  self.turn_over.reset();
  co_await self.stop().under(unhurried);
  self.busy = Impl::Busy::kNo;
  self.turn_over.set();
}

io::Task<Result<Call>> Channel::start(std::string_view path, std::optional<io::Duration> deadline) {
  Impl& self = *impl_;
  const std::string where(path);
  CO_TRY_DO(co_await connect());
  CO_TRY(Metadata metadata, self.options.metadata ? self.options.metadata() : Metadata{});
  h2::Headers headers = {{":method", "POST"},
                         {":scheme", "https"},
                         {":path", where},
                         {":authority", self.options.target.authority()},
                         {"content-type", "application/grpc"},
                         {"te", "trailers"},
                         {"user-agent", "weft/" WEFT_VERSION}};
  if (deadline) headers.push_back({"grpc-timeout", timeout_value(*deadline)});
  for (auto& [name, value] : metadata) headers.push_back({std::move(name), std::move(value)});

  auto call = std::make_shared<Call::Impl>(self.ring, self.options.message_max);
  CO_TRY(call->id, self.transport->h2().request(headers, false));
  call->transport = self.transport.get();
  call->calls = &self.calls;
  self.calls.emplace(call->id, call.get());
  self.transport->kick();
  co_return Call(std::move(call));
}

namespace {

io::Task<Result<Channel::Response>> unary_call(Channel& channel, std::string_view path,
                                               std::string_view request, io::Duration deadline) {
  CO_TRY(Call call, co_await channel.start(path, deadline));
  // A server may refuse before it has read everything: its answer counts, not our failure to send.
  const Result<Done> sent = co_await call.send(request);
  if (sent) CO_TRY_DO(co_await call.finish_sending());
  CO_TRY(auto message, co_await call.receive());
  if (!message) {
    Status status = call.status();
    if (status.ok()) status = {StatusCode::kInternal, "success without a message"};
    co_return Channel::Response{.status = std::move(status), .message = {}};
  }
  CO_TRY(const auto second, co_await call.receive());
  if (second) {
    co_return Channel::Response{{StatusCode::kInternal, "two messages in a unary response"}, {}};
  }
  co_return Channel::Response{.status = call.status(), .message = *std::move(message)};
}

}  // namespace

io::Task<Channel::Response> Channel::unary(std::string_view path, std::string request,
                                           io::Duration deadline) {
  auto response = co_await io::with_deadline(impl_->ring, deadline, kDuring,
                                             unary_call(*this, path, request, deadline));
  if (response) co_return *std::move(response);
  const Error& error = response.error();
  StatusCode code = StatusCode::kUnavailable;
  if (error.reason == Reason::kTimedOut) code = StatusCode::kDeadlineExceeded;
  if (error.reason == Reason::kCancelled) code = StatusCode::kCancelled;
  co_return Response{{code, std::string(reason_name(error.reason)) + " during " + error.during},
                     {}};
}

void Channel::Impl::on_headers(h2::StreamId id, h2::Headers headers, bool end) {
  Call::Impl* call = find(id);
  if (call == nullptr) return;
  // The first block comes before any data and can be judged at once; trailers wait their turn.
  if (!call->got_headers) {
    call->got_headers = true;
    call->reader.on_headers(views(headers), end);
  } else {
    call->trailers = std::move(headers);
  }
  call->received.set();
}

void Channel::Impl::on_data(h2::StreamId id, tls::Slice bytes) {
  Call::Impl* call = find(id);
  if (call == nullptr) return;
  call->data.push_back(std::move(bytes));
  call->received.set();
}

void Channel::Impl::on_end(h2::StreamId id) {
  if (Call::Impl* call = find(id)) {
    call->end = true;
    call->received.set();
  }
}

void Channel::Impl::on_reset(h2::StreamId id, h2::ErrorCode code) {
  if (Call::Impl* call = find(id)) {
    if (transport->error()) {
      call->lost = transport->error();
    } else {
      call->reset = code;
    }
    call->detach();
    call->wake();
  }
}

void Channel::Impl::on_closed(h2::StreamId id) {
  if (Call::Impl* call = find(id)) {
    call->detach();
    call->wake();
  }
}

void Channel::Impl::on_sent(h2::StreamId id) {
  if (Call::Impl* call = find(id)) call->sendable.set();
}

// Running calls go on; the next one gets a connection of its own.
void Channel::Impl::on_goaway(h2::ErrorCode code, h2::StreamId) {
  alive = false;
  if (code != h2::ErrorCode::kEnhanceYourCalm) return;
  options.keepalive_interval = std::min(options.keepalive_interval * 2, kKeepaliveIntervalMax);
}

}  // namespace mesh::grpc
