#include "waypoint/named_hosts.h"

#include <algorithm>
#include <functional>
#include <set>
#include <utility>

#include "mesh/io/timer.h"

namespace mesh::waypoint {

struct NamedHosts::Name {
  explicit Name(std::string of) : host(std::move(of)), scope(nullptr) {}
  std::string host;
  io::CancelScope scope;
  std::vector<net::IpAddress> addresses;  // none: not known yet
  // Of the cluster that asks most often.
  std::chrono::milliseconds refresh{0}, failure_refresh{0};
  bool respect_ttl = false;
  bool wanted = false;
};

NamedHosts::NamedHosts(io::Ring& ring, grpc::ResolverOptions options, std::function<void()> changed)
    : ring_(ring), options_(std::move(options)), changed_(std::move(changed)) {}
NamedHosts::~NamedHosts() = default;

// ---- what is wanted ----

void NamedHosts::prepare(const config::Snapshot& snapshot) {
  for (auto& [host, name] : names_) name->wanted = false;
  for (auto& [name, known] : clusters_) known.wanted = false;
  for (const auto& [name, cluster] : *snapshot.clusters) {
    if (cluster->discovery != config::Cluster::Discovery::kStrictDns) continue;
    if (!cluster->inline_endpoints) continue;
    for (const config::Endpoint& endpoint : cluster->inline_endpoints->all) {
      if (!endpoint.hostname.empty()) want(*cluster, endpoint.hostname);
    }
    Known& known = clusters_[name];
    known.wanted = true;
    if (known.cluster == cluster) continue;
    known.cluster = cluster;
    rebuild(known);
  }
  std::erase_if(clusters_, [](const auto& item) { return !item.second.wanted; });
  std::erase_if(names_, [](const auto& item) {
    if (!item.second->wanted) item.second->scope.request();
    return !item.second->wanted;
  });
}

void NamedHosts::want(const config::Cluster& cluster, const std::string& host) {
  auto& name = names_[host];
  if (!name) {
    if (names_.size() > kNamesMax || watching_.cancelled()) {
      names_.erase(host);
      return;
    }
    name = std::make_shared<Name>(host);
    watching_.spawn(watch(name));
  }
  const auto refresh = std::max(cluster.dns_refresh, kAgainMin);
  const auto after_failure = std::max(cluster.dns_failure_refresh.value_or(refresh), kAgainMin);
  const bool first = !std::exchange(name->wanted, true);
  name->refresh = first ? refresh : std::min(name->refresh, refresh);
  name->failure_refresh = first ? after_failure : std::min(name->failure_refresh, after_failure);
  name->respect_ttl = cluster.respect_dns_ttl || (!first && name->respect_ttl);
}

io::Task<void> NamedHosts::close() {
  for (const auto& [host, name] : names_) name->scope.request();
  watching_.cancel();
  co_await watching_.join();
  names_.clear();
  clusters_.clear();
}

// ---- names ----

io::Task<void> NamedHosts::watch(std::shared_ptr<Name> name) {
  co_await watch_now(name).under(name->scope);
}

io::Task<void> NamedHosts::watch_now(std::shared_ptr<Name> name) {
  for (;;) {
    auto found = co_await grpc::resolve_timed(ring_, name->host, options_);
    if (!found && found.error().reason == Reason::kCancelled) co_return;
    io::Duration wait = found ? name->refresh : name->failure_refresh;
    if (found) {
      if (name->respect_ttl && found->ttl) wait = std::max<io::Duration>(*found->ttl, kAgainMin);
      std::ranges::sort(found->addresses);
      if (name->addresses != found->addresses) {
        name->addresses = std::move(found->addresses);
        for (auto& [key, known] : clusters_) rebuild(known);
        if (changed_) changed_();
      }
    }
    const auto slept = co_await io::sleep_for(ring_, wait);
    if (!slept) co_return;
  }
}

// ---- hosts ----

// Every name by its addresses; one that is not known yet stays, to be looked up when it is dialled.
void NamedHosts::rebuild(Known& known) const {
  const config::Endpoints& asked = *known.cluster->inline_endpoints;
  auto made = std::make_shared<config::Endpoints>(asked);
  made->all.clear();
  std::set<std::string> seen;  // two names may lead to the same place
  const auto add = [&](config::Endpoint one) {
    if (seen.insert(one.key()).second) made->all.push_back(std::move(one));
  };
  for (config::EndpointGroup& group : made->groups) {
    const auto from = asked.all.begin() + group.first;
    group.first = static_cast<std::uint32_t>(made->all.size());
    for (auto it = from; it != from + group.count; ++it) {
      const auto found = names_.find(it->hostname);
      if (it->hostname.empty() || found == names_.end() || found->second->addresses.empty()) {
        add(*it);
        continue;
      }
      for (const net::IpAddress& ip :
           in_family(found->second->addresses, known.cluster->dns_family)) {
        config::Endpoint one = *it;
        one.address.ip = ip;
        one.resolved = true;
        add(std::move(one));
      }
    }
    group.count = static_cast<std::uint32_t>(made->all.size()) - group.first;
  }
  known.endpoints = std::move(made);
}

config::EndpointsPtr NamedHosts::of(const config::Cluster& cluster) const {
  const auto found = clusters_.find(cluster.name);
  // A request that began before a change has endpoints of its own.
  if (found == clusters_.end() || found->second.cluster.get() != &cluster) return nullptr;
  return found->second.endpoints;
}

std::vector<net::IpAddress> in_family(std::vector<net::IpAddress> addresses,
                                      config::Cluster::DnsFamily family) {
  using Family = config::Cluster::DnsFamily;
  if (family == Family::kAll) return addresses;
  const bool v4_first = family == Family::kV4Only || family == Family::kV4Preferred;
  const auto first = [&](const net::IpAddress& ip) { return ip.is_v4() == v4_first; };
  const bool only = family == Family::kV4Only || family == Family::kV6Only;
  if (!only && std::ranges::none_of(addresses, first)) return addresses;
  std::erase_if(addresses, std::not_fn(first));
  return addresses;
}

config::EndpointsPtr endpoints_in(const config::Snapshot& snapshot, const config::Cluster& cluster,
                                  const NamedHosts* names) {
  if (names != nullptr && cluster.discovery == config::Cluster::Discovery::kStrictDns) {
    if (auto known = names->of(cluster)) return known;
  }
  if (cluster.inline_endpoints) return cluster.inline_endpoints;
  const std::string& name = cluster.eds_name.empty() ? cluster.name : cluster.eds_name;
  const auto found = snapshot.endpoints->find(name);
  return found == snapshot.endpoints->end() ? nullptr : found->second;
}

}  // namespace mesh::waypoint
