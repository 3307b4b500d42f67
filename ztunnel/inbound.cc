// A tunnel that another workload opens to this pod: who it is, what it may, and its connections.

#include "mesh/hbone/authority.h"
#include "mesh/io/both.h"
#include "ztunnel/inbound_connection.h"
#include "ztunnel/labels.h"
#include "ztunnel/relay.h"

namespace mesh::ztunnel {

io::Task<void> Pod::serve_hbone(io::Socket tunnel) {
  const net::SocketAddress from = tunnel.peer_address();
  const net::SocketAddress to = tunnel.local_address();
  hbone::Served served;
  // The wait for our own certificate is a part of the handshake, for whoever waits.
  auto handshake = server_.admit(tunnel);
  const char* full = lane_.full(server_.connections() + 1);
  if (full == nullptr && !handshake) full = "limit of this pod";
  if (full == nullptr) {
    const auto certificate =
        co_await lane_.certificates.wait(spec_.id, lane_.config.ready_deadline);
    if (certificate) {
      served =
          co_await server_.serve(std::move(tunnel), (*certificate)->server, *std::move(handshake));
    } else {
      served.end = std::unexpected(certificate.error());
      tunnel.reset();
    }
  } else {
    served.end = failed(Reason::kExhausted, full);
    tunnel.reset();
  }
  if (concerns_the_tunnel(served)) {
    const Error& error = served.end.error();
    Report report(lane_.reports, telemetry::Reporter::kDestination, from, to);
    report.finish({.reason = error.reason,
                   .text = "tls handshake error: " + describe(error),
                   .flags = "TLS_FAILURE",
                   .policy = {},
                   .failed = true});
  }
  served_.set();
  served_.reset();
}

// Not a coroutine: the request lives only as long as it is needed, not as long as the connection.
io::Task<void> Pod::on_connect(hbone::IncomingConnect connect) {
  return serve_connect(std::make_unique<hbone::IncomingConnect>(std::move(connect)));
}

// Reported here, because no connection inside the tunnel came of it.
void Pod::on_refused(const hbone::RefusedRequest& request) {
  constexpr std::size_t kMethodMax = 32;
  Report report(lane_.reports, telemetry::Reporter::kDestination, request.peer_address,
                request.local_address);
  const bool connect = request.method == "CONNECT";
  std::string text = "expected method CONNECT, got ";
  text += request.method.substr(0, kMethodMax);
  if (connect) text = "no valid authority pseudo header: ";
  if (request.reason == Reason::kExhausted) text = "limit of this identity";
  report.finish({.reason = request.reason,
                 .text = std::move(text),
                 .flags = "CONNECT",
                 .policy = {},
                 .failed = true});
}

io::Task<void> Pod::serve_connect(std::unique_ptr<hbone::IncomingConnect> connect) {
  HboneInbound connection(*this, connect->request());
  io::CancelScope scope(co_await io::current_cancel());
  connection.scope = &scope;
  co_await connection.run(std::move(connect)).under(scope);
}

// An end that no connection inside the tunnel reports: of a handshake, however it failed, if it is
// not we who go; later, what the peer did wrong.
bool concerns_the_tunnel(const hbone::Served& served) {
  if (served.end) return false;
  const Reason reason = served.end.error().reason;
  switch (reason) {
    case Reason::kCancelled:
    case Reason::kDraining:
      return false;
    case Reason::kTlsHandshake:
    case Reason::kNoCertificate:
    case Reason::kUntrusted:
    case Reason::kExpired:
    case Reason::kWrongIdentity:
    case Reason::kNoIdentity:
    case Reason::kProtocol:
    case Reason::kMalformed:
    case Reason::kFlood:
    case Reason::kTooLarge:
    case Reason::kExhausted:
      return true;
    default:
      return !served.identified;
  }
}

io::Task<void> HboneInbound::run(std::unique_ptr<hbone::IncomingConnect> connect) {
  auto ends = co_await establish(*connect);
  if (!ends) connect->refuse(status_of(ends.error().reason));
  connect.reset();
  if (!ends) {
    finish(ends.error(), false);
    co_return;
  }
  const auto carried = co_await carry(*std::move(ends));
  if (carried) {
    report_.finish({});
  } else {
    finish(carried.error(), true);
  }
}

io::Task<Result<HboneInbound::Ends>> HboneInbound::establish(hbone::IncomingConnect& connect) {
  auto reached = co_await io::first_of(reach(connect.request()), connect.wait_hang_up());
  if (!reached.first) {
    if (reached.winner == io::Winner::kSecond && reached.second) {
      co_return failed(Reason::kPeerReset, "the client gave up");
    }
    co_return std::unexpected(reached.first.error());
  }
  h2::Headers headers;
  headers.push_back({"baggage", hbone::to_header(baggage_of(*report_.destination))});
  auto stream = connect.accept(headers);
  if (!stream) {
    reached.first->reset();
    co_return std::unexpected(stream.error());
  }
  co_return Ends{.stream = *std::move(stream), .application = *std::move(reached.first)};
}

io::Task<Result<Done>> HboneInbound::carry(Ends ends) {
  auto request = [this](std::size_t bytes) { report_.count_request(bytes); };
  auto response = [this](std::size_t bytes) { report_.count_response(bytes); };
  co_return co_await relay(ends.stream, ends.application, request, response);
}

int HboneInbound::status_of(Reason reason) {
  switch (reason) {
    case Reason::kDenied:
    case Reason::kPolicyUnusable:
    case Reason::kPolicyChanged:
      return 401;
    case Reason::kMalformed:
    case Reason::kWrongTarget:
      return 400;
    default:
      return 503;
  }
}

io::Task<Result<io::Socket>> HboneInbound::reach(const hbone::ConnectRequest& request) {
  CO_TRY(const workload::WorkloadPtr own, co_await pod_.wait_workload());
  CO_TRY(const net::SocketAddress target, find_target(request, *own));
  dialled = target;
  actual = target;
  const workload::Directory& directory = *lane_.directory;
  report_.authority = request.authority;
  report_.mutual_tls = true;
  set_question(pod_.callers_.of(request.peer), request.peer_address.ip, target);
  report_.source_id = &question->caller->id();
  report_.destination_id = &pod_.spec().id;
  report_.destination = own;
  report_.source = caller_for_labels(directory, lane_.config.network, request.peer_address,
                                     &request.peer, request.baggage);
  if (report_.service == nullptr) {
    report_.service = service_for_labels(directory, *own, target.port, request.forwarded);
  }
  report_.open();
  CO_TRY(const policy::Permit permit, authorize(*own));
  co_return co_await connect(permit, request.peer_address.ip, target);
}

// Where the CONNECT wants to go, if that is this pod.
Result<net::SocketAddress> HboneInbound::find_target(const hbone::ConnectRequest& request,
                                                     const workload::Workload& own) {
  // Behind such a tunnel stands a waypoint that wants every connection by it, named.
  if (own.application_tunnel &&
      own.application_tunnel->protocol == workload::ApplicationTunnel::Protocol::kProxy) {
    text_ = "this workload takes connections by the PROXY protocol only, which is not spoken here";
    return failed(Reason::kWrongTarget, "application tunnel");
  }
  const auto authority = hbone::parse_authority(request.authority);
  if (!authority) {
    text_ = "no valid authority pseudo header: " + request.authority;
    return failed(Reason::kMalformed, "authority");
  }
  net::SocketAddress target;
  if (const auto* address = std::get_if<net::SocketAddress>(&*authority)) {
    target = {address->ip.unmapped(), address->port};
    if (target.ip != request.local_address.ip) {
      text_ =
          "ip mismatch: " + request.local_address.ip.to_string() + " != " + target.ip.to_string();
      return failed(Reason::kWrongTarget, "authority");
    }
  } else {
    const auto& name = std::get<hbone::HostAndPort>(*authority);
    const workload::Service* service = lane_.directory->find_service(own.ns, name.host);
    const workload::Membership* member =
        service == nullptr ? nullptr : own.membership(service->key);
    if (member == nullptr) {
      text_ = "no service or workload for hostname: " + name.host;
      return failed(Reason::kUnknownWorkload, "authority");
    }
    // The port of this endpoint, else the service's own idea of it.
    std::optional<std::uint16_t> port = member->target_port(name.port);
    const workload::Port* declared = service->port(name.port);
    if (!port && declared != nullptr && declared->target_port != 0) port = declared->target_port;
    if (!port) {
      text_ = "no target port for: " + request.authority;
      return failed(Reason::kUnknownWorkload, "authority");
    }
    target = {request.local_address.ip, *port};
    report_.service = service_pointer(*lane_.directory, service->key);
  }
  if (is_proxy_port(target.port)) {
    text_ = "attempted recursive call to ourselves";
    return failed(Reason::kLoop, "authority");
  }
  return target;
}

}  // namespace mesh::ztunnel
