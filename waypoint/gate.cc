#include "waypoint/gate.h"

#include <algorithm>
#include <utility>

#include "mesh/hbone/authority.h"
#include "mesh/io/both.h"
#include "mesh/io/timer.h"
#include "waypoint/exchange.h"
#include "waypoint/opaque.h"
#include "waypoint/sniff.h"

namespace mesh::waypoint {
namespace {

// What a CONNECT's target leads to, as of `snapshot`. Null: nowhere.
const config::Destination* find(const config::Snapshot& snapshot, const hbone::Authority& target) {
  if (const auto* address = std::get_if<net::SocketAddress>(&target)) {
    const config::Destination& found = snapshot.find({address->ip.unmapped(), address->port});
    return found.found() ? &found : nullptr;
  }
  const config::Destination* found = snapshot.find_host(config::to_lower(hbone::to_string(target)));
  return found != nullptr && found->found() ? found : nullptr;
}

// The HTTP that is spoken there now; null: none.
const config::HttpChain* http_at(const config::Snapshot& snapshot, const hbone::Authority& target) {
  const config::Destination* found = find(snapshot, target);
  return found != nullptr && found->http && found->http->http ? &*found->http->http : nullptr;
}

// A connection without requests; one that has no limit has this one.
constexpr io::Duration kIdleMost = std::chrono::hours(24);
io::Duration idle_deadline(const config::HttpChain& chain) {
  const io::Duration asked = chain.idle_timeout;
  return asked > io::Duration::zero() ? std::min(asked, kIdleMost) : kIdleMost;
}

io::Duration headers_deadline(const config::HttpChain& chain, io::Duration most) {
  const io::Duration asked = chain.request_headers_timeout;
  return asked > io::Duration::zero() ? std::min(asked, most) : most;
}

}  // namespace

struct Gate::Inside final : wire::ServerHandler {
  Inside(RingContext& of, hbone::Authority named) : context(of), target(std::move(named)) {}

  RingContext& context;
  hbone::Authority target;
  Caller caller;
  bool http = false, tcp = false;
  std::unique_ptr<wire::TunnelWire> wire;
  wire::Http1Server* http1 = nullptr;
  wire::Http2Session* http2 = nullptr;

  io::Task<void> on_request(wire::ServerStream& stream) override;
  wire::Response on_bad_request(const wire::BadRequest& request) override;
  wire::Response refuse(Record record, LocalReply reply);
  void drain() {
    if (http1 != nullptr) http1->drain();
    if (http2 != nullptr) http2->drain();
  }
};

io::Task<void> Gate::Inside::on_request(wire::ServerStream& stream) {
  // The snapshot of now, for all of this request.
  config::SnapshotPtr snapshot = context.snapshot;
  const config::Destination* destination = find(*snapshot, target);
  if (destination == nullptr || !destination->http || !snapshot->ready) {
    // It went while its tunnel stayed.
    const http::Request request = stream.take_request();
    Record record{.method = request.method, .path = request.path};
    record.authority = request.authority;
    record.grpc = http::is_grpc(request.headers);
    wire::Response response = refuse(
        std::move(record), {.status = 503, .flags = Flag::kNR, .details = "destination_gone"});
    (void)co_await stream.respond(std::move(response), true);
    co_return;
  }
  config::ChainPtr chain = destination->http;
  Exchange exchange(context, caller, std::move(snapshot), std::move(chain), stream);
  co_await exchange.run();
}

wire::Response Gate::Inside::on_bad_request(const wire::BadRequest& bad) {
  Record record;
  record.method = bad.method;
  record.path = bad.path;
  record.grpc = bad.grpc;
  LocalReply reply{.status = bad.status, .flags = Flag::kDPE};
  if (bad.status == 408) {
    reply.flags = Flag::kDT;
    reply.details = "request_header_timeout";
  } else {
    reply.details = (http2 != nullptr ? "http2.codec_error{" : "http1.codec_error{") +
                    std::string(h1::fault_name(bad.fault)) + "}";
  }
  return refuse(std::move(record), std::move(reply));
}

// An answer without an exchange; in gRPC's words for those who speak it.
wire::Response Gate::Inside::refuse(Record record, LocalReply reply) {
  record.begun = context.ring.now();
  record.wall = context.ring.wall_now();
  record.protocol = http2 != nullptr ? "HTTP/2" : "HTTP/1.1";
  record.flags = reply.flags;
  record.details = reply.details;
  if (record.grpc) reply.body = reply.details;  // told as grpc-message; there is no body
  FormedReply formed = form(reply, record.grpc);
  record.status = formed.response.status;
  record.grpc_status = formed.grpc_status;
  const config::SnapshotPtr snapshot = context.snapshot;
  if (const config::HttpChain* chain = http_at(*snapshot, target)) {
    record.logs = &chain->access_logs;
  }
  context.recorder.record(caller, record, io::Duration::zero());
  return std::move(formed.response);
}

Gate::Gate(RingContext& context, Upstreams::Identity identity)
    : context_(context), identity_(std::move(identity)) {}
Gate::~Gate() { MESH_CHECK(running_.empty()); }

void Gate::drain() {
  context_.draining = true;
  for (Inside* inside : running_) inside->drain();
}

// Not a coroutine: the request lives only as long as it is needed.
io::Task<void> Gate::on_connect(hbone::IncomingConnect connect) {
  return serve(std::make_unique<hbone::IncomingConnect>(std::move(connect)));
}

io::Task<Result<Done>> wait_ready(RingContext& context) {
  while (!context.snapshot->ready) CO_TRY_DO(co_await context.snapshot_changed->wait());
  co_return Done{};
}

io::Task<void> Gate::serve(std::unique_ptr<hbone::IncomingConnect> connect) {
  const hbone::ConnectRequest& request = connect->request();
  auto target = hbone::parse_authority(request.authority);
  if (!target) co_return connect->refuse(400);
  // A tunnel to ourselves would come back here, and again.
  const auto* named = std::get_if<net::SocketAddress>(&*target);
  if (named != nullptr && named->ip.unmapped() == request.local_address.ip) {
    co_return connect->refuse(400);
  }
  if (running_.size() >= context_.limits.connects_max) co_return connect->refuse(503);
  if (!context_.snapshot->ready) {
    const auto ready = co_await io::with_deadline(context_.ring, context_.limits.ready_deadline,
                                                  "configuration", wait_ready(context_));
    if (!ready) co_return connect->refuse(503);
  }
  const auto own = identity_();
  if (!own) co_return connect->refuse(503);
  Inside inside(context_, *std::move(target));
  inside.caller.ns = request.peer.ns();
  inside.caller.principal = request.peer.to_string();
  inside.caller.own_principal = own->id.to_string();
  inside.caller.address = request.peer_address;
  inside.caller.authority = request.authority;
  if (const auto* address = std::get_if<net::SocketAddress>(&inside.target)) {
    inside.caller.target = {address->ip.unmapped(), address->port};
  }
  if (request.baggage) {
    inside.caller.labels = hbone::parse_baggage(*request.baggage).value_or(hbone::Baggage{});
  }
  const config::Snapshot& snapshot = *context_.snapshot;
  if (!may_enter(snapshot.terminate, inside.caller)) co_return connect->refuse(401);
  const config::Destination* destination = find(snapshot, inside.target);
  if (destination == nullptr) co_return connect->refuse(404);
  inside.http = destination->http != nullptr;
  inside.tcp = destination->tcp != nullptr;
  auto stream = connect->accept();
  connect.reset();
  if (!stream) co_return;
  inside.wire = std::make_unique<wire::TunnelWire>(*std::move(stream));
  running_.insert(&inside);
  (void)co_await speak(inside);
  running_.erase(&inside);
}

// ---- what is spoken inside ----

io::Task<Result<Done>> Gate::speak(Inside& inside) {
  if (inside.http && inside.tcp) co_return co_await sniff(inside);
  if (inside.http) co_return co_await sniff_http(inside, {});
  co_return co_await relay_opaque(context_, inside.caller, inside.target, *inside.wire, nullptr);
}

io::Task<Result<Done>> Gate::speak_http1(Inside& inside, wire::Wire& wire) {
  wire::Http1ServerOptions options;
  if (const config::HttpChain* chain = http_at(*context_.snapshot, inside.target)) {
    options.idle_deadline = idle_deadline(*chain);
    options.headers_deadline = headers_deadline(*chain, options.headers_deadline);
  }
  wire::Http1Server server(context_.ring, wire, inside, options);
  inside.http1 = &server;
  if (context_.draining) server.drain();
  const auto ended = co_await server.run();
  inside.http1 = nullptr;
  co_return ended;
}

io::Task<Result<Done>> Gate::speak_http2(Inside& inside, wire::Wire& wire) {
  wire::Http2Options options;
  if (const config::HttpChain* chain = http_at(*context_.snapshot, inside.target)) {
    options.idle_deadline = idle_deadline(*chain);
    options.h2.header_deadline = headers_deadline(*chain, options.h2.header_deadline);
  }
  wire::Http2Session session(context_.ring, wire, &inside, std::move(options));
  inside.http2 = &session;
  if (context_.draining) session.drain();
  const auto ended = co_await session.run();
  inside.http2 = nullptr;
  co_return ended;
}

// HTTP is what the port speaks; which version, the first bytes say.
io::Task<Result<Done>> Gate::sniff_http(Inside& inside, tls::Slice first) {
  if (first.empty()) {
    CO_TRY(first, co_await inside.wire->recv());
    if (first.empty()) co_return inside.wire->finish_sending();
  }
  while (waypoint::sniff(first.bytes()) == Spoken::kMore) {
    CO_TRY(const tls::Slice more, co_await inside.wire->recv());
    if (more.empty()) break;
    std::vector<std::byte> joined(first.bytes().begin(), first.bytes().end());
    joined.insert(joined.end(), more.bytes().begin(), more.bytes().end());
    first = tls::Slice::copy_of(joined);
  }
  const bool http2 = waypoint::sniff(first.bytes()) == Spoken::kHttp2;
  wire::PrefixedWire wire(*inside.wire, std::move(first));
  // What is neither is told so in HTTP/1.1: 400.
  co_return co_await (http2 ? speak_http2(inside, wire) : speak_http1(inside, wire));
}

// The first bytes decide. A client that waits for its server is not kept waiting: after a moment
// the server is asked, and if it speaks first the connection is opaque.
io::Task<Result<Done>> Gate::sniff(Inside& inside) {
  auto first = co_await io::with_deadline(context_.ring, context_.limits.sniff_after, "first bytes",
                                          inside.wire->recv());
  if (!first && first.error().reason == Reason::kTimedOut) {
    co_return co_await relay_opaque(context_, inside.caller, inside.target, *inside.wire, nullptr);
  }
  CO_TRY(tls::Slice bytes, std::move(first));
  const io::TimePoint until = context_.ring.now() + context_.limits.protocol_deadline;
  while (!bytes.empty() && waypoint::sniff(bytes.bytes()) == Spoken::kMore) {
    auto more = co_await io::with_deadline(context_.ring, until - context_.ring.now(),
                                           "first bytes", inside.wire->recv());
    if (!more && more.error().reason == Reason::kTimedOut) break;
    CO_TRY(const tls::Slice part, std::move(more));
    if (part.empty()) break;
    std::vector<std::byte> joined(bytes.bytes().begin(), bytes.bytes().end());
    joined.insert(joined.end(), part.bytes().begin(), part.bytes().end());
    bytes = tls::Slice::copy_of(joined);
  }
  const Spoken spoken = waypoint::sniff(bytes.bytes());
  if (spoken == Spoken::kHttp1 || spoken == Spoken::kHttp2) {
    co_return co_await sniff_http(inside, std::move(bytes));
  }
  co_return co_await relay_opaque(context_, inside.caller, inside.target, *inside.wire, &bytes);
}

}  // namespace mesh::waypoint
