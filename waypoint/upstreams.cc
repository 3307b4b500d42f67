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

wire::Http2Options http2_options(const config::Cluster& cluster, io::Duration idle) {
  wire::Http2Options options{.h2 = wire::Http2Options::for_client()};
  options.idle_deadline = idle;
  if (cluster.http.keepalive_interval > io::Duration::zero()) {
    options.h2.ping_interval = cluster.http.keepalive_interval;
    if (cluster.http.keepalive_timeout > io::Duration::zero()) {
      options.h2.ping_timeout = cluster.http.keepalive_timeout;
    }
  }
  return options;
}

// All that decides whom a connection proves to be its far end, and who we say that we are: one that
// was made under other settings, or under none, is not for this request.
void append_tls(const config::UpstreamTls& tls, std::string& key) {
  const auto part = [&](std::string_view text) { key.append("|").append(text); };
  part(tls.sni);
  part(tls.auto_sni ? "auto" : "");
  for (const std::string& protocol : tls.alpn) part(protocol);
  for (const std::string* text :
       {&tls.certificate, &tls.certificate_file, &tls.key_file, &tls.certificate_secret,
        &tls.roots_secret, &tls.trusted_ca_secret}) {
    part(*text);
  }
  const auto hashed = [](const std::string& text) {
    return std::to_string(std::hash<std::string>()(text));
  };
  part(hashed(tls.certificate_pem));
  part(hashed(tls.key_pem));
  part(tls.trusted_ca_is_file ? "file" : "");
  part(tls.trusted_ca_is_file ? tls.trusted_ca : hashed(tls.trusted_ca));
  for (const auto* names : {&tls.uri_names, &tls.dns_names}) {
    part(names == &tls.uri_names ? "uri" : "dns");
    for (const config::StringMatch& name : *names) part(name.to_string());
  }
  part(tls.verify_nothing ? "nobody" : "");
  part(std::to_string(static_cast<int>(tls.tls12)));
}

}  // namespace

struct Upstreams::Group {
  explicit Group(io::Ring& ring) : changed(ring) {}
  io::Duration idle_deadline{};
  io::Duration duration_max{};  // 0: any
  std::uint32_t requests_max = 0;
  std::size_t streams_max = 0;
  std::vector<std::shared_ptr<Http1Entry>> idle;  // the last one was used last
  std::vector<std::shared_ptr<Http2Entry>> shared;
  std::size_t connections = 0;
  bool dialling = false;  // HTTP/2: others wait
  io::Event changed;      // pulses: a connection or a place in one may be free
  std::size_t users = 0;  // coroutines, connections and streams that borrow this

  void pulse() {
    changed.set();
    changed.reset();
  }
};

// A connection, from when it is dialled. `place`: none for the one that every endpoint may have.
struct Upstreams::Counted {
  Counted(Counts& of, Group& in, Place at) : all(of), group(in), place(std::move(at)) {
    ++all.connections;
    ++group.connections;
  }
  ~Counted() {
    --all.connections;
    --group.connections;
    place.reset();
    group.pulse();
  }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  Counts& all;
  Group& group;
  Place place;
};

struct Upstreams::Http1Entry {
  Http1Entry(std::unique_ptr<wire::Wire> wire, std::unique_ptr<Counted> as, io::TimePoint now)
      : counted(std::move(as)), client(std::move(wire), {}), born(now) {}
  std::unique_ptr<Counted> counted;
  wire::Http1Client client;
  io::TimePoint born;
  io::TimePoint idle_since{};
};

struct Upstreams::Http2Entry {
  Http2Entry(io::Ring& ring, std::unique_ptr<wire::Wire> on, wire::Http2Options options,
             std::unique_ptr<Counted> as)
      : counted(std::move(as)),
        wire(std::move(on)),
        session(ring, *wire, nullptr, std::move(options)),
        born(ring.now()) {}
  std::unique_ptr<Counted> counted;
  std::unique_ptr<wire::Wire> wire;
  wire::Http2Session session;
  io::TimePoint born;
  std::uint64_t requests = 0;
  std::size_t uses = 0;
};

// The last one ends a connection that has had its share, and whoever waits may go on.
struct Upstreams::Http2Use {
  Http2Use(Upstreams& of, Group& in, std::shared_ptr<Http2Entry> on)
      : upstreams(of), group(in), entry(std::move(on)) {
    ++entry->requests;
    ++entry->uses;
    ++group.users;
  }
  ~Http2Use() {
    --entry->uses;
    if (entry->uses == 0 && upstreams.is_worn(group, entry->born, entry->requests)) {
      entry->session.retire();
    }
    group.pulse();
    entry.reset();
    --group.users;
  }
  Http2Use(const Http2Use&) = delete;
  Http2Use& operator=(const Http2Use&) = delete;
  Upstreams& upstreams;
  Group& group;
  std::shared_ptr<Http2Entry> entry;
};

Upstreams::Upstreams(io::Ring& ring, hbone::TunnelPool& tunnels, Identity identity,
                     std::string own_uid, UpstreamOptions options)
    : ring_(ring),
      tunnels_(tunnels),
      identity_(std::move(identity)),
      own_uid_(std::move(own_uid)),
      options_(std::move(options)),
      outside_(ring, identity_, options_.names) {}

Upstreams::~Upstreams() = default;

Upstreams::Group& Upstreams::group(const config::Cluster& cluster, const config::Endpoint& endpoint,
                                   wire::Version version) {
  key_.assign(cluster.name);
  key_.append(version == wire::Version::kHttp2 ? "|2|" : "|1|");
  key_.append(endpoint.transport == config::Endpoint::Transport::kHbone ? "h|" : "p|");
  key_.append(endpoint.key());
  if (cluster.tls) append_tls(*cluster.tls, key_);
  if (endpoint.tls_istio && cluster.tls_istio) append_tls(*cluster.tls_istio, key_);
  auto found = groups_.find(key_);
  if (found == groups_.end()) found = groups_.emplace(key_, std::make_unique<Group>(ring_)).first;
  Group& group = *found->second;
  group.idle_deadline =
      cluster.http.idle_timeout ? *cluster.http.idle_timeout : options_.idle_deadline;
  group.duration_max = cluster.http.max_connection_duration;
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
                                                 wire::Version version, balance::Breaker& breaker,
                                                 Reuse reuse) {
  if (closed_) co_return failed(Reason::kDraining, "upstream");
  Group& of = group(cluster, endpoint, version);
  if (reuse == Reuse::kNew) of.idle.clear();
  ++of.users;
  auto opened =
      co_await (version == wire::Version::kHttp1 ? open_http1(of, cluster, endpoint, breaker)
                                                 : open_http2(of, cluster, endpoint, breaker));
  --of.users;
  co_return opened;
}

// A connection that has carried, or lived, as much as the configuration wants.
bool Upstreams::is_worn(const Group& group, io::TimePoint born, std::uint64_t requests) const {
  if (group.requests_max > 0 && requests >= group.requests_max) return true;
  return group.duration_max > io::Duration::zero() && ring_.now() - born >= group.duration_max;
}

// ---- HTTP/1.1: one request at a time ----

std::shared_ptr<Upstreams::Http1Entry> Upstreams::take_idle(Group& group) {
  while (!group.idle.empty()) {
    std::shared_ptr<Http1Entry> entry = std::move(group.idle.back());
    group.idle.pop_back();
    if (entry->client.reusable() && !is_worn(group, entry->born, entry->client.requests())) {
      return entry;
    }
    retire(std::move(entry));
  }
  return nullptr;
}

io::Task<Result<OpenedUpstream>> Upstreams::open_http1(Group& group, const config::Cluster& cluster,
                                                       const config::Endpoint& endpoint,
                                                       balance::Breaker& breaker) {
  using What = balance::Breaker::What;
  Place waiting, place;
  for (;;) {
    if (auto entry = take_idle(group)) {
      ++counts_.reused;
      co_return begin(group, std::move(entry));
    }
    if (!waiting) {
      waiting = breaker.hold(What::kPending);
      if (!waiting) co_return failed(Reason::kExhausted, "requests that wait for a connection");
    }
    place = breaker.hold(What::kConnection);
    // An endpoint that has no connection at all may have one: others do not starve it.
    if (place || group.connections == 0) break;
    CO_TRY_DO(co_await group.changed.wait());
    if (closed_) co_return failed(Reason::kDraining, "upstream");
  }
  auto counted = std::make_unique<Counted>(counts_, group, std::move(place));
  CO_TRY(auto wire, co_await dial(cluster, endpoint, wire::Version::kHttp1));
  co_return begin(group,
                  std::make_shared<Http1Entry>(std::move(wire), std::move(counted), ring_.now()));
}

OpenedUpstream Upstreams::begin(Group& group, std::shared_ptr<Http1Entry> entry) {
  wire::Http1Client& client = entry->client;
  ++group.users;
  auto done = [this, &group, entry = std::move(entry)]() mutable {
    give_back(group, std::move(entry));
    --group.users;
    group.pulse();
  };
  return {.stream = client.begin(std::move(done)), .local = {}};
}

void Upstreams::give_back(Group& group, std::shared_ptr<Http1Entry> entry) {
  if (closed_ || is_worn(group, entry->born, entry->client.requests()) ||
      !entry->client.reusable() || group.idle.size() >= options_.idle_per_endpoint_max) {
    return retire(std::move(entry));
  }
  entry->idle_since = ring_.now();
  group.idle.push_back(std::move(entry));
}

// A reset would be an error in the logs of those who carry it.
void Upstreams::retire(std::shared_ptr<Http1Entry> entry) {
  entry->counted.reset();  // another may take its place
  scope_.spawn(part_from(std::move(entry)));
}

io::Task<void> Upstreams::part_from(std::shared_ptr<Http1Entry> entry) {
  (void)co_await io::with_deadline(ring_, kPartWithin, "close", entry->client.close());
}

// ---- HTTP/2: shared ----

// None: every connection is full.
Result<std::optional<OpenedUpstream>> Upstreams::share(Group& group) {
  for (const auto& entry : group.shared) {
    const std::size_t most =
        std::min<std::size_t>(group.streams_max, entry->session.peer_max_streams());
    if (!entry->session.accepts_requests() || entry->session.streams() >= most ||
        is_worn(group, entry->born, entry->requests)) {
      continue;
    }
    TRY(auto stream, entry->session.open(std::make_shared<Http2Use>(*this, group, entry)));
    return OpenedUpstream{.stream = std::move(stream), .local = {}};
  }
  return std::nullopt;
}

io::Task<Result<OpenedUpstream>> Upstreams::open_http2(Group& group, const config::Cluster& cluster,
                                                       const config::Endpoint& endpoint,
                                                       balance::Breaker& breaker) {
  using What = balance::Breaker::What;
  Place waiting, place;
  for (;;) {
    CO_TRY(auto opened, share(group));
    if (opened) {
      ++counts_.reused;
      co_return *std::move(opened);
    }
    if (!waiting) {
      waiting = breaker.hold(What::kPending);
      if (!waiting) co_return failed(Reason::kExhausted, "requests that wait for a connection");
    }
    if (!group.dialling) {
      place = breaker.hold(What::kConnection);
      if (place || group.connections == 0) break;
    }
    CO_TRY_DO(co_await group.changed.wait());
    if (closed_) co_return failed(Reason::kDraining, "upstream");
  }
  auto counted = std::make_unique<Counted>(counts_, group, std::move(place));
  group.dialling = true;
  auto wire = co_await dial(cluster, endpoint, wire::Version::kHttp2);
  group.dialling = false;
  std::shared_ptr<Http2Entry> entry;
  if (wire && !closed_) {
    entry = std::make_shared<Http2Entry>(
        ring_, *std::move(wire), http2_options(cluster, group.idle_deadline), std::move(counted));
    group.shared.push_back(entry);
    ++group.users;
    scope_.spawn(run_session(group, entry));
  }
  group.pulse();
  if (!wire) co_return std::unexpected(wire.error());
  if (!entry) co_return failed(Reason::kDraining, "upstream");
  CO_TRY(auto stream, entry->session.open(std::make_shared<Http2Use>(*this, group, entry)));
  co_return OpenedUpstream{.stream = std::move(stream), .local = {}};
}

io::Task<void> Upstreams::run_session(Group& group, std::shared_ptr<Http2Entry> entry) {
  (void)co_await entry->session.run();
  std::erase(group.shared, entry);
  entry.reset();
  group.pulse();
  --group.users;
}

// ---- dialling ----

io::Task<Result<std::unique_ptr<wire::Wire>>> Upstreams::dial(
    const config::Cluster& cluster, const config::Endpoint& endpoint,
    std::optional<wire::Version> version) {
  if (closed_) co_return failed(Reason::kDraining, "upstream");
  if (counts_.connections > options_.connections_max) {
    co_return failed(Reason::kExhausted, "upstream connections");
  }
  ++counts_.dialled;
  const bool hbone = endpoint.transport == config::Endpoint::Transport::kHbone;
  // A tunnel leads to an address; none is not "any".
  if (hbone && ((!endpoint.hostname.empty() && !endpoint.resolved) ||
                endpoint.address.ip.is_unspecified())) {
    co_return failed(Reason::kUnreachable, "an endpoint without an address");
  }
  co_return co_await io::with_deadline(ring_, cluster.connect_timeout, "upstream connect",
                                       hbone ? dial_secure_tunnel(cluster, endpoint, version)
                                             : outside_.dial(cluster, endpoint, version));
}

io::Task<Result<std::unique_ptr<wire::Wire>>> Upstreams::dial_secure_tunnel(
    const config::Cluster& cluster, const config::Endpoint& endpoint,
    std::optional<wire::Version> version) {
  CO_TRY(auto tunnel, co_await dial_tunnel(endpoint));
  co_return co_await outside_.secure(cluster, endpoint, version, std::move(tunnel));
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
                                           .address = endpoint.via.value_or(net::SocketAddress{
                                               endpoint.address.ip, options_.hbone_port})},
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
        if (waited || !entry->client.reusable() ||
            is_worn(group, entry->born, entry->client.requests())) {
          retire(std::move(entry));
        } else {
          group.idle.push_back(std::move(entry));
        }
      }
      for (const auto& entry : group.shared) {
        const bool idle = entry->uses == 0;
        if (idle && is_worn(group, entry->born, entry->requests)) entry->session.retire();
      }
      return group.users == 0 && group.idle.empty() && group.shared.empty();
    });
  }
}

io::Task<void> Upstreams::close() {
  closed_ = true;
  for (auto& [key, group] : groups_) {
    for (auto& entry : std::exchange(group->idle, {})) retire(std::move(entry));
    group->pulse();
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
