#include "ztunnel/dns_proxy.h"

#include <array>

#include "mesh/io/timer.h"
#include "ztunnel/report.h"

namespace mesh::ztunnel {

DnsProxy::DnsProxy(Lane& lane, const PodSpec& spec) : lane_(lane), spec_(spec) {}
DnsProxy::~DnsProxy() = default;

Result<Done> DnsProxy::listen(std::string& failed_at) {
  io::ListenOptions options{
      .at = {lane_.config.ipv6 ? net::IpAddress::v6({}) : net::IpAddress(), kDnsPort},
      .transparent = true,
      .reuse_port = !lane_.config.one_listener_per_pod,
      .mark = {},
      .netns = spec_.netns.get()};
  failed_at = options.at.to_string();
  auto udp = io::DatagramSocket::open(lane_.ring, options);
  if (!udp && udp.error().os_errno == EAFNOSUPPORT) {
    options.at.ip = net::IpAddress();
    udp = io::DatagramSocket::open(lane_.ring, options);
  }
  if (!udp) return std::unexpected(udp.error());
  TRY(io::Listener tcp, io::Listener::listen(lane_.ring, options));
  udp_.emplace(*std::move(udp));
  tcp_.emplace(std::move(tcp));
  return Done{};
}

io::Task<void> DnsProxy::run() {
  io::TaskScope scope(co_await io::current_cancel());
  scope_ = &scope;
  scope.spawn(serve_udp());
  scope.spawn(accept_tcp(scope));
  co_await scope.join();
  udp_.reset();
  tcp_.reset();
}

io::Task<void> DnsProxy::serve_udp() {
  std::string memory(kDnsUdpMax, '\0');
  for (;;) {
    const auto got = co_await udp_->recv_from(std::as_writable_bytes(std::span(memory)));
    if (!got) {
      if (got.error().reason == Reason::kCancelled) co_return;
      if (!co_await io::sleep_for(lane_.ring, std::chrono::milliseconds(10))) co_return;
      continue;
    }
    if (got->truncated) continue;
    scope_->spawn(answer_udp(memory.substr(0, got->size), *got));
  }
}

io::Task<void> DnsProxy::answer_udp(std::string message, io::DatagramSocket::Datagram from) {
  const std::string response = co_await respond(std::move(message), Protocol::kUdp);
  if (response.empty()) co_return;
  // A connected resolver only hears the address and port it asked, so the answer needs a socket of
  // its own, bound there.
  const io::ListenOptions options{.at = from.local,
                                  .transparent = true,
                                  .reuse_port = true,
                                  .mark = {},
                                  .netns = spec_.netns.get()};
  auto voice = io::DatagramSocket::open(lane_.ring, options);
  if (!voice) co_return;
  (void)co_await voice->send_to(std::as_bytes(std::span(response)), from.peer);
}

io::Task<void> DnsProxy::accept_tcp(io::TaskScope& connections) {
  for (;;) {
    auto socket = co_await tcp_->accept();
    if (!socket) {
      if (socket.error().reason == Reason::kCancelled) co_return;
      if (!co_await io::sleep_for(lane_.ring, std::chrono::milliseconds(50))) co_return;
      continue;
    }
    if (connections_ >= kDnsTcpMax) {
      socket->reset();
      continue;
    }
    connections.spawn(serve_tcp(*std::move(socket)));
  }
}

io::Task<void> DnsProxy::serve_tcp(io::Socket socket) {
  ++connections_;
  const auto over = co_await converse(socket);
  if (!over) socket.reset();
  --connections_;
}

// Messages with a length in front (RFC 1035 section 4.2.2), answered in order.
io::Task<Result<Done>> DnsProxy::converse(io::Socket& socket) {
  std::string received;
  for (;;) {
    while (received.size() >= 2) {
      const std::size_t length = static_cast<std::size_t>(static_cast<unsigned char>(received[0]))
                                     << 8 |
                                 static_cast<unsigned char>(received[1]);
      if (received.size() < 2 + length) break;
      std::string message = received.substr(2, length);
      received.erase(0, 2 + length);
      std::string response = co_await respond(std::move(message), Protocol::kTcp);
      if (response.empty()) co_return failed(Reason::kMalformed, "dns over tcp");
      const std::array<char, 2> size = {static_cast<char>(response.size() >> 8),
                                        static_cast<char>(response.size())};
      response.insert(0, size.data(), 2);
      CO_TRY_DO(co_await io::with_deadline(lane_.ring, kDnsTcpIdle, "dns over tcp",
                                           socket.send_all(std::as_bytes(std::span(response)))));
    }
    CO_TRY(
        const io::Buffer bytes,
        co_await io::with_deadline(lane_.ring, kDnsTcpIdle, "dns over tcp", socket.recv_buffer()));
    if (bytes.empty()) co_return socket.finish_sending();
    received.append(reinterpret_cast<const char*>(bytes.bytes().data()), bytes.size());
  }
}

std::string DnsProxy::labels(const DnsQuery& query, Protocol protocol) const {
  const workload::Workload* own =
      lane_.directory->find_pod(spec_.info.ns, spec_.info.name, spec_.info.service_account);
  telemetry::LabelText text;
  text.add("request_query_type", dns_type_name(query.type))
      .add("request_protocol", protocol == Protocol::kUdp ? "udp" : "tcp")
      .add("source_canonical_service", own == nullptr ? "unknown" : own->canonical_name)
      .add("source_canonical_revision", own == nullptr ? "unknown" : own->canonical_revision);
  return text.text();
}

io::Task<std::string> DnsProxy::respond(std::string message, Protocol protocol) {
  const DnsParsed parsed = parse_dns(std::as_bytes(std::span(message)));
  if (std::holds_alternative<DnsDrop>(parsed)) co_return std::string();
  if (const auto* reject = std::get_if<DnsReject>(&parsed)) co_return reject->response;
  const DnsQuery query = std::get<DnsQuery>(parsed);
  lane_.telemetry.metrics.add(lane_.telemetry.dns_requests, labels(query, protocol));
  // Before the first complete snapshot an unknown name may be one of ours: wait, do not ask others.
  if (!lane_.directory->complete()) {
    if (waiting_ >= kDnsForwardsMax) co_return build_dns_code(query, DnsCode::kServFail);
    ++waiting_;
    const auto complete = co_await lane_.wait_complete();
    --waiting_;
    if (!complete) co_return build_dns_code(query, DnsCode::kServFail);
  }
  const DnsClient client{.ns = spec_.info.ns,
                         .preferred_ns = lane_.config.preferred_namespace,
                         .network = lane_.config.network,
                         .cluster_domain = lane_.config.cluster_domain,
                         .search = lane_.config.dns_search};
  const DnsDecision decision = decide_dns(*lane_.directory, client, query, lane_.ring.random());
  if (const auto* answer = std::get_if<DnsAddresses>(&decision)) {
    const std::size_t limit = protocol == Protocol::kTcp ? kDnsMessageMax : query.udp_size;
    co_return build_dns_answer(query, *answer, limit);
  }
  co_return co_await forward(query, std::move(message), protocol);
}

io::Task<std::string> DnsProxy::forward(DnsQuery query, std::string message, Protocol protocol) {
  Telemetry& telemetry = lane_.telemetry;
  const std::vector<net::IpAddress>& servers = lane_.config.dns_servers;
  const std::string text = labels(query, protocol);
  telemetry.metrics.add(telemetry.dns_upstream_requests, text);
  if (forwards_ >= kDnsForwardsMax || servers.empty()) {
    telemetry.metrics.add(telemetry.dns_upstream_failures, text);
    co_return build_dns_code(query, DnsCode::kServFail);
  }
  ++forwards_;
  const io::TimePoint begun = lane_.ring.now();
  // Two tries within the patience: the next server, or the only one again.
  std::string response;
  for (std::size_t attempt = 0; attempt < 2 && response.empty(); ++attempt) {
    const net::SocketAddress server{servers[attempt % servers.size()], 53};
    auto task = protocol == Protocol::kUdp ? ask_udp(server, query, message)
                                           : ask_tcp(server, query, message);
    auto got = co_await io::with_deadline(lane_.ring, kDnsUpstreamPatience / 2, "ask upstream",
                                          std::move(task));
    if (got) response = *std::move(got);
    if (!got && got.error().reason == Reason::kCancelled) break;
  }
  --forwards_;
  const std::chrono::duration<double> took = lane_.ring.now() - begun;
  telemetry.metrics.observe(telemetry.dns_upstream_seconds, text, took.count());
  if (response.empty() || dns_code_of(std::as_bytes(std::span(response))) != DnsCode::kNoError) {
    telemetry.metrics.add(telemetry.dns_upstream_failures, text);
  }
  if (response.empty()) co_return build_dns_code(query, DnsCode::kServFail);
  set_dns_id(std::as_writable_bytes(std::span(response)), query.id);
  co_return response;
}

// A socket of its own for each question: its port is unpredictable, and so is the id.
io::Task<Result<std::string>> DnsProxy::ask_udp(net::SocketAddress server, const DnsQuery& query,
                                                std::string message) {
  const auto id = static_cast<std::uint16_t>(lane_.ring.random());
  set_dns_id(std::as_writable_bytes(std::span(message)), id);
  const net::IpAddress any = server.ip.is_v4() ? net::IpAddress() : net::IpAddress::v6({});
  const io::ListenOptions options{
      .at = {any, 0}, .reuse_port = false, .mark = {}, .netns = spec_.netns.get()};
  CO_TRY(io::DatagramSocket socket, io::DatagramSocket::open(lane_.ring, options));
  CO_TRY_DO(socket.connect(server));
  CO_TRY_DO(co_await socket.send_to(std::as_bytes(std::span(message)), server));
  std::string memory(kDnsMessageMax, '\0');
  for (;;) {
    const auto space = std::as_writable_bytes(std::span(memory));
    CO_TRY(const io::DatagramSocket::Datagram got, co_await socket.recv_from(space));
    if (got.peer != server || got.truncated) continue;
    if (!answers_dns(space.first(got.size), query, id)) continue;
    co_return memory.substr(0, got.size);
  }
}

io::Task<Result<std::string>> DnsProxy::ask_tcp(net::SocketAddress server, const DnsQuery& query,
                                                std::string message) {
  const auto id = static_cast<std::uint16_t>(lane_.ring.random());
  set_dns_id(std::as_writable_bytes(std::span(message)), id);
  const std::array<char, 2> size = {static_cast<char>(message.size() >> 8),
                                    static_cast<char>(message.size())};
  message.insert(0, size.data(), 2);
  const io::ConnectOptions options{
      .to = server, .from = {}, .mark = {}, .netns = spec_.netns.get()};
  CO_TRY(io::Socket socket, co_await io::connect(lane_.ring, options));
  CO_TRY_DO(co_await socket.send_all(std::as_bytes(std::span(message))));
  std::string received;
  for (;;) {
    CO_TRY(const io::Buffer bytes, co_await socket.recv_buffer());
    if (bytes.empty()) co_return failed(Reason::kPeerClosed, "ask upstream");
    received.append(reinterpret_cast<const char*>(bytes.bytes().data()), bytes.size());
    if (received.size() < 2) continue;
    const std::size_t length = static_cast<std::size_t>(static_cast<unsigned char>(received[0]))
                                   << 8 |
                               static_cast<unsigned char>(received[1]);
    if (received.size() < 2 + length) continue;
    const std::string response = received.substr(2, length);
    if (!answers_dns(std::as_bytes(std::span(response)), query, id)) {
      co_return failed(Reason::kMalformed, "ask upstream");
    }
    co_return response;
  }
}

}  // namespace mesh::ztunnel
