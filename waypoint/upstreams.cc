#include "waypoint/upstreams.h"

#include <algorithm>
#include <utility>

#include "mesh/io/socket.h"
#include "mesh/io/timer.h"

namespace mesh::waypoint {
namespace {

constexpr io::Duration kTendEvery = std::chrono::seconds(15);
// How long an endpoint has to end its direction after we ended ours.
constexpr io::Duration kPartWithin = std::chrono::seconds(1);

}  // namespace

struct Upstreams::Http1Entry {
  Http1Entry(std::unique_ptr<wire::Wire> wire, Counts& of)
      : client(std::move(wire), {}), counts(of) {
    ++counts.connections;
  }
  ~Http1Entry() { --counts.connections; }
  wire::Http1Client client;
  Counts& counts;
  io::TimePoint idle_since{};
};

struct Upstreams::Http2Entry {
  Http2Entry(io::Ring& ring, std::unique_ptr<wire::Wire> on, wire::Http2Options options, Counts& of)
      : wire(std::move(on)), session(ring, *wire, nullptr, std::move(options)), counts(of) {
    ++counts.connections;
  }
  ~Http2Entry() { --counts.connections; }
  std::unique_ptr<wire::Wire> wire;
  wire::Http2Session session;
  Counts& counts;
};

struct Upstreams::Group {
  explicit Group(io::Ring& ring) : changed(ring) {}
  io::Duration idle_deadline{};
  std::uint32_t requests_max = 0;
  std::size_t streams_max = 0;
  std::vector<std::shared_ptr<Http1Entry>> idle;  // the last one was used last
  std::vector<std::shared_ptr<Http2Entry>> shared;
  bool dialling = false;  // HTTP/2: others wait
  io::Event changed;      // pulses
  std::size_t users = 0;  // coroutines that borrow this
};

Upstreams::Upstreams(io::Ring& ring, hbone::TunnelPool& tunnels, Identity identity,
                     std::string own_uid, UpstreamOptions options)
    : ring_(ring),
      tunnels_(tunnels),
      identity_(std::move(identity)),
      own_uid_(std::move(own_uid)),
      options_(options) {}

Upstreams::~Upstreams() = default;

Upstreams::Group& Upstreams::group(const config::Cluster& cluster, const config::Endpoint& endpoint,
                                   wire::Version version) {
  key_.assign(cluster.name);
  key_.append(version == wire::Version::kHttp2 ? "|2|" : "|1|");
  key_.append(endpoint.transport == config::Endpoint::Transport::kHbone ? "h|" : "p|");
  key_.append(endpoint.key());
  auto found = groups_.find(key_);
  if (found == groups_.end()) found = groups_.emplace(key_, std::make_unique<Group>(ring_)).first;
  Group& group = *found->second;
  group.idle_deadline =
      cluster.http.idle_timeout ? *cluster.http.idle_timeout : options_.idle_deadline;
  group.requests_max = cluster.http.max_requests_per_connection;
  group.streams_max = options_.streams_per_connection;
  if (cluster.http.max_concurrent_streams > 0) {
    group.streams_max =
        std::min<std::size_t>(group.streams_max, cluster.http.max_concurrent_streams);
  }
  return group;
}

io::Task<Result<OpenedUpstream>> Upstreams::open(const config::Cluster& cluster,
                                                 const config::Endpoint& endpoint,
                                                 wire::Version version, Reuse reuse) {
  if (closed_) co_return failed(Reason::kDraining, "upstream");
  Group& of = group(cluster, endpoint, version);
  if (reuse == Reuse::kNew) of.idle.clear();
  ++of.users;
  auto opened = version == wire::Version::kHttp1 ? co_await open_http1(of, cluster, endpoint)
                                                 : co_await open_http2(of, cluster, endpoint);
  --of.users;
  co_return opened;
}

// ---- HTTP/1.1: one request at a time ----

io::Task<Result<OpenedUpstream>> Upstreams::open_http1(Group& group, const config::Cluster& cluster,
                                                       const config::Endpoint& endpoint) {
  while (!group.idle.empty()) {
    std::shared_ptr<Http1Entry> entry = std::move(group.idle.back());
    group.idle.pop_back();
    if (!entry->client.reusable()) {
      retire(std::move(entry));
      continue;
    }
    ++counts_.reused;
    co_return begin(group, std::move(entry));
  }
  CO_TRY(auto wire, co_await dial(cluster, endpoint));
  co_return begin(group, std::make_shared<Http1Entry>(std::move(wire), counts_));
}

OpenedUpstream Upstreams::begin(Group& group, std::shared_ptr<Http1Entry> entry) {
  wire::Http1Client& client = entry->client;
  ++group.users;
  auto done = [this, &group, entry = std::move(entry)]() mutable {
    --group.users;
    give_back(group, std::move(entry));
  };
  return {.stream = client.begin(std::move(done)), .local = {}};
}

void Upstreams::give_back(Group& group, std::shared_ptr<Http1Entry> entry) {
  const bool worn = group.requests_max > 0 && entry->client.requests() >= group.requests_max;
  if (closed_ || worn || !entry->client.reusable() ||
      group.idle.size() >= options_.idle_per_endpoint_max) {
    return retire(std::move(entry));
  }
  entry->idle_since = ring_.now();
  group.idle.push_back(std::move(entry));
}

// A reset would be an error in the logs of those who carry it.
void Upstreams::retire(std::shared_ptr<Http1Entry> entry) {
  scope_.spawn(part_from(std::move(entry)));
}

io::Task<void> Upstreams::part_from(std::shared_ptr<Http1Entry> entry) {
  (void)co_await io::with_deadline(ring_, kPartWithin, "close", entry->client.close());
}

// ---- HTTP/2: shared ----

io::Task<Result<OpenedUpstream>> Upstreams::open_http2(Group& group, const config::Cluster& cluster,
                                                       const config::Endpoint& endpoint) {
  for (;;) {
    for (const auto& entry : group.shared) {
      const std::size_t most =
          std::min<std::size_t>(group.streams_max, entry->session.peer_max_streams());
      if (!entry->session.accepts_requests() || entry->session.streams() >= most) continue;
      CO_TRY(auto stream, entry->session.open(entry));
      ++counts_.reused;
      co_return OpenedUpstream{.stream = std::move(stream), .local = {}};
    }
    if (!group.dialling) break;
    CO_TRY_DO(co_await group.changed.wait());
  }
  group.dialling = true;
  auto wire = co_await dial(cluster, endpoint);
  group.dialling = false;
  std::shared_ptr<Http2Entry> entry;
  if (wire && !closed_) {
    wire::Http2Options options{.h2 = wire::Http2Options::for_client()};
    options.idle_deadline = group.idle_deadline;
    entry = std::make_shared<Http2Entry>(ring_, *std::move(wire), std::move(options), counts_);
    group.shared.push_back(entry);
    ++group.users;
    scope_.spawn(run_session(group, entry));
  }
  group.changed.set();
  group.changed.reset();
  if (!wire) co_return std::unexpected(wire.error());
  if (!entry) co_return failed(Reason::kDraining, "upstream");
  CO_TRY(auto stream, entry->session.open(entry));
  co_return OpenedUpstream{.stream = std::move(stream), .local = {}};
}

io::Task<void> Upstreams::run_session(Group& group, std::shared_ptr<Http2Entry> entry) {
  (void)co_await entry->session.run();
  std::erase(group.shared, entry);
  --group.users;
}

// ---- dialling ----

io::Task<Result<std::unique_ptr<wire::Wire>>> Upstreams::dial(const config::Cluster& cluster,
                                                              const config::Endpoint& endpoint) {
  if (closed_) co_return failed(Reason::kDraining, "upstream");
  if (counts_.connections >= options_.connections_max) {
    co_return failed(Reason::kExhausted, "upstream connections");
  }
  ++counts_.dialled;
  co_return co_await io::with_deadline(ring_, cluster.connect_timeout, "upstream connect",
                                       dial_now(cluster, endpoint));
}

io::Task<Result<std::unique_ptr<wire::Wire>>> Upstreams::dial_now(
    const config::Cluster& cluster, const config::Endpoint& endpoint) {
  // A name has no address yet; none is not "any".
  if (!endpoint.hostname.empty() || endpoint.address.ip.is_unspecified()) {
    co_return failed(Reason::kUnreachable, "an endpoint without an address");
  }
  if (endpoint.transport == config::Endpoint::Transport::kHbone) {
    co_return co_await dial_tunnel(endpoint);
  }
  // Never in plaintext what was to be TLS.
  if ((cluster.tls && !endpoint.tls_istio) || (endpoint.tls_istio && cluster.tls_istio)) {
    co_return failed(Reason::kTlsHandshake, "TLS to an endpoint is not spoken here");
  }
  io::ConnectOptions options;
  options.to = endpoint.address;
  options.deadline = cluster.connect_timeout;
  CO_TRY(io::Socket socket, co_await io::connect(ring_, std::move(options)));
  co_return std::make_unique<wire::SocketWire>(std::move(socket));
}

io::Task<Result<std::unique_ptr<wire::Wire>>> Upstreams::dial_tunnel(
    const config::Endpoint& endpoint) {
  const auto certificate = identity_();
  if (!certificate) co_return failed(Reason::kNoIdentity, "upstream");
  const hbone::OpenRequest request{.key = {.source_uid = own_uid_,
                                           .source = certificate->id,
                                           .destination_uid = endpoint.workload,
                                           .accepted = {},
                                           .any_of_own_domain = true,
                                           .address = {endpoint.address.ip, options_.hbone_port}},
                                   .context = certificate->client,
                                   .authority = endpoint.address.to_string(),
                                   .headers = {{"x-istio-source", "waypoint"}}};
  CO_TRY(hbone::OpenOutcome outcome, co_await tunnels_.open(request));
  if (accepted_ && std::ranges::none_of(*accepted_, [&](const config::StringMatch& name) {
        return name.matches(outcome.peer.to_string());
      })) {
    co_return failed(Reason::kWrongIdentity, "CONNECT to the endpoint");
  }
  if (outcome.stream) {
    co_return std::make_unique<wire::TunnelWire>(*std::move(outcome.stream));
  }
  if (outcome.status == 401) co_return failed(Reason::kDenied, "CONNECT to the endpoint");
  if (outcome.status == 503) co_return failed(Reason::kRefused, "CONNECT to the endpoint");
  co_return failed(Reason::kProtocol, "CONNECT to the endpoint");
}

// ---- ends ----

io::Task<void> Upstreams::tend() {
  for (;;) {
    const auto slept = co_await io::sleep_for(ring_, kTendEvery);
    if (!slept) co_return;
    std::erase_if(groups_, [&](auto& item) {
      Group& group = *item.second;
      for (auto& entry : std::exchange(group.idle, {})) {
        const bool waited = ring_.now() - entry->idle_since >= group.idle_deadline;
        if (waited || !entry->client.reusable()) {
          retire(std::move(entry));
        } else {
          group.idle.push_back(std::move(entry));
        }
      }
      return group.users == 0 && group.idle.empty() && group.shared.empty();
    });
  }
}

io::Task<void> Upstreams::close() {
  closed_ = true;
  for (auto& [key, group] : groups_) {
    for (auto& entry : std::exchange(group->idle, {})) retire(std::move(entry));
    for (const auto& entry : group->shared) entry->session.retire();
  }
  io::TaskScope patience;
  patience.spawn(give_up());
  co_await scope_.join();
  patience.cancel();
  co_await patience.join();
  scope_.cancel();  // for what is still given back
}

io::Task<void> Upstreams::give_up() {
  if (co_await io::sleep_for(ring_, 2 * kPartWithin)) scope_.cancel();
}

}  // namespace mesh::waypoint
