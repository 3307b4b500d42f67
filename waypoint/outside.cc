#include "waypoint/outside.h"

#include <algorithm>
#include <utility>

#include "mesh/grpc/channel.h"
#include "mesh/io/socket.h"
#include "mesh/io/timer.h"
#include "mesh/tls/outside.h"
#include "waypoint/named_hosts.h"
#include "waypoint/wire/tls_wire.h"

namespace mesh::waypoint {
namespace {

constexpr const char* kDuring = "endpoint outside the mesh";

std::vector<std::string> alpn_of(const config::UpstreamTls& tls,
                                 std::optional<wire::Version> version) {
  if (!version) return tls.alpn;
  return {*version == wire::Version::kHttp2 ? "h2" : "http/1.1"};
}

}  // namespace

Result<std::string> name_to_verify(const config::UpstreamTls& tls, const config::Endpoint& endpoint,
                                   const config::Cluster& cluster) {
  if (tls.verify_nothing) return failed(Reason::kUntrusted, kDuring);
  std::string name = tls.sni;
  if (name.empty()) name = endpoint.hostname;
  if (name.empty()) name = cluster.service_host;
  if (name.empty()) return failed(Reason::kWrongIdentity, kDuring);
  const bool any = tls.dns_names.empty() && tls.uri_names.empty();
  const auto fits = [&](const config::StringMatch& match) { return match.matches(name); };
  if (any || std::ranges::any_of(tls.dns_names, fits)) return name;
  return failed(Reason::kWrongIdentity, kDuring);
}

io::Task<Result<std::unique_ptr<wire::Wire>>> Outside::dial(const config::Cluster& cluster,
                                                            const config::Endpoint& endpoint,
                                                            std::optional<wire::Version> version) {
  // Endpoints that speak Istio's own TLS without a tunnel are asked by nobody here.
  if (endpoint.tls_istio && cluster.tls_istio) co_return failed(Reason::kTlsHandshake, kDuring);
  CO_TRY(const auto context, context_for(cluster, endpoint, version));
  std::vector<net::IpAddress> addresses = {endpoint.address.ip};
  if (!endpoint.hostname.empty() && !endpoint.resolved) {
    CO_TRY(addresses, co_await addresses_of(cluster, endpoint.hostname));
  }
  const io::TimePoint until = ring_.now() + cluster.connect_timeout;
  Error last{.reason = Reason::kUnreachable, .during = kDuring};
  for (std::size_t i = 0; i < addresses.size() && ring_.now() < until; ++i) {
    if (addresses[i].is_unspecified()) continue;  // none is not "any"
    // Every one of them gets its share of the time.
    const auto left = static_cast<std::int64_t>(addresses.size() - i);
    auto wire = co_await connect(cluster, {addresses[i], endpoint.address.port},
                                 (until - ring_.now()) / left, context);
    if (wire || wire.error().reason == Reason::kCancelled) co_return wire;
    last = wire.error();
  }
  co_return std::unexpected(last);
}

io::Task<Result<std::unique_ptr<wire::Wire>>> Outside::connect(
    const config::Cluster& cluster, net::SocketAddress to, io::Duration within,
    const std::shared_ptr<const tls::Context>& context) {
  const io::TimePoint until = ring_.now() + within;
  io::ConnectOptions options;
  options.to = to;
  options.deadline = within;
  if (cluster.keepalive) {
    options.keepalive = io::TcpKeepalive{.idle_s = cluster.keepalive->time_s,
                                         .interval_s = cluster.keepalive->interval_s,
                                         .probes = cluster.keepalive->probes};
  }
  CO_TRY(io::Socket socket, co_await io::connect(ring_, std::move(options)));
  auto wire = std::make_unique<wire::SocketWire>(std::move(socket));
  if (!context) co_return wire;
  co_return co_await io::with_deadline(ring_, until - ring_.now(), kDuring,
                                       wire::TlsWire::connect(ring_, std::move(wire), context));
}

io::Task<Result<std::unique_ptr<wire::Wire>>> Outside::secure(const config::Cluster& cluster,
                                                              const config::Endpoint& endpoint,
                                                              std::optional<wire::Version> version,
                                                              std::unique_ptr<wire::Wire> tunnel) {
  CO_TRY(const auto context, context_for(cluster, endpoint, version));
  if (!context) co_return tunnel;
  co_return co_await wire::TlsWire::connect(ring_, std::move(tunnel), context);
}

// ---- names ----

io::Task<Result<Done>> Outside::ask(Name& name, std::string host) {
  name.asking = true;
  name.asked_at = ring_.now();
  auto found = co_await grpc::resolve_timed(ring_, std::move(host), options_);
  name.asking = false;
  if (found) {
    name.addresses = std::move(found->addresses);
    name.ttl = found->ttl;
    name.known_at = ring_.now();
  }
  name.gone = !found && found.error().reason == Reason::kUnreachable;
  name.done.set();
  name.done.reset();
  if (!found) co_return std::unexpected(found.error());
  co_return Done{};
}

// One question at a time for a name; who comes meanwhile waits for its answer.
io::Task<Result<std::vector<net::IpAddress>>> Outside::addresses_of(const config::Cluster& cluster,
                                                                    std::string host) {
  auto found = names_.find(host);
  if (found == names_.end()) {
    if (names_.size() >= kNamesMax) {
      std::erase_if(names_, [](const auto& item) { return !item.second->asking; });
    }
    if (names_.size() >= kNamesMax) co_return failed(Reason::kExhausted, "names");
    found = names_.emplace(host, std::make_shared<Name>(ring_)).first;
  }
  const std::shared_ptr<Name> name = found->second;
  io::Duration fresh = cluster.dns_refresh;
  if (cluster.respect_dns_ttl && name->ttl) fresh = *name->ttl;
  fresh = std::max(fresh, kRefreshMin);
  if (name->addresses.empty() || ring_.now() - name->asked_at >= fresh) {
    Result<Done> asked = Done{};
    if (name->asking) asked = co_await name->done.wait();
    // Whoever asked may have been told to stop.
    if (asked && !name->asking &&
        (name->addresses.empty() || ring_.now() - name->known_at >= fresh)) {
      asked = co_await ask(*name, host);
    }
    if (!asked && asked.error().reason == Reason::kCancelled) {
      co_return std::unexpected(asked.error());
    }
    const bool stale = name->gone && ring_.now() - name->known_at > kStaleMost;
    if (name->addresses.empty() || stale) {
      co_return failed(asked ? Reason::kUnreachable : asked.error().reason, "name of an endpoint");
    }
  }
  std::vector<net::IpAddress> addresses = in_family(name->addresses, cluster.dns_family);
  if (addresses.empty()) co_return failed(Reason::kUnreachable, "family of an endpoint's name");
  // Those of one family in turn; the other family comes after them.
  const bool v4 = addresses.front().is_v4();
  const auto other = [v4](const net::IpAddress& ip) { return ip.is_v4() != v4; };
  const auto end = std::ranges::find_if(addresses, other);
  const auto same = static_cast<std::size_t>(end - addresses.begin());
  std::rotate(addresses.begin(),
              addresses.begin() + static_cast<std::ptrdiff_t>(name->next++ % same), end);
  co_return addresses;
}

// ---- TLS ----

Result<std::shared_ptr<const tls::Context>> Outside::context_for(
    const config::Cluster& cluster, const config::Endpoint& endpoint,
    std::optional<wire::Version> version) {
  if (!cluster.tls) return nullptr;
  TRY(const std::string name, name_to_verify(*cluster.tls, endpoint, cluster));
  return context_of(*cluster.tls, name, alpn_of(*cluster.tls, version));
}

Result<std::shared_ptr<const tls::Context>> Outside::context_of(
    const config::UpstreamTls& tls, const std::string& name, const std::vector<std::string>& alpn) {
  std::string key = name;
  for (const std::string* part :
       {&tls.certificate, &tls.certificate_file, &tls.key_file, &tls.certificate_pem, &tls.key_pem,
        &tls.certificate_secret, &tls.roots_secret, &tls.trusted_ca_secret, &tls.trusted_ca}) {
    key.append("\n").append(*part);
  }
  key.append("\n").append(std::to_string(static_cast<int>(tls.tls12)));
  for (const std::string& protocol : alpn) key.append("\n").append(protocol);
  Context& known = contexts_[key];
  if (known.context && ring_.now() - known.made_at < kFilesEvery) return known.context;
  auto made = make_context(tls, name, alpn);
  // Files that are gone for a moment: what was read before still counts.
  if (!made && known.context) made = known.context;
  if (!made) {
    contexts_.erase(key);
    return made;
  }
  known = {.context = *made, .made_at = ring_.now()};
  if (contexts_.size() > kContextsMax) {
    std::erase_if(contexts_, [&](const auto& item) { return item.first != key; });
  }
  return made;
}

Result<std::shared_ptr<const tls::Context>> Outside::make_context(
    const config::UpstreamTls& tls, const std::string& name, const std::vector<std::string>& alpn) {
  tls::OutsideServer server{.name = name, .alpn = alpn};
  server.tls12 = static_cast<tls::OutsideServer::Tls12>(tls.tls12);
  // Nobody is asked before they have come.
  if (!tls.certificate_secret.empty() || !tls.roots_secret.empty()) {
    return failed(Reason::kNoCertificate, kDuring);
  }
  const auto own = identity_();
  if (!tls.trusted_ca_secret.empty() || tls.certificate == "default") {
    if (!own) return failed(Reason::kNoIdentity, kDuring);
  }
  if (!tls.trusted_ca_secret.empty()) {
    server.roots = own->roots.to_pem();
  } else if (tls.trusted_ca_is_file) {
    const std::string path = tls.trusted_ca == "system" ? grpc::kSystemRoots : tls.trusted_ca;
    server.lenient_roots = path == grpc::kSystemRoots;
    TRY(server.roots, grpc::roots_from_file(path)());
  } else {
    server.roots = tls.trusted_ca;
  }
  if (!tls.certificate_file.empty()) {
    TRY(server.certificate, grpc::roots_from_file(tls.certificate_file)());
    TRY(server.key, grpc::roots_from_file(tls.key_file)());
  } else if (!tls.certificate_pem.empty()) {
    server.certificate = tls.certificate_pem;
    server.key = tls.key_pem;
  } else if (tls.certificate == "default") {
    // The key of the mesh's identity stays where it is.
    return failed(Reason::kNoCertificate, kDuring);
  }
  return tls::context_for_outside(server);
}

}  // namespace mesh::waypoint
