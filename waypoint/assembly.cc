#include "waypoint/assembly.h"

#include <algorithm>
#include <utility>

namespace mesh::waypoint {
namespace {

using config::Listener;

// Every cluster that a chain may send to.
void add_targets(const config::RouteTable& table, std::set<std::string>& names) {
  for (const config::VirtualHost& host : table.hosts) {
    for (const auto& route : host.routes) {
      const auto* forward = std::get_if<config::Forward>(&route->action);
      if (forward == nullptr) continue;
      for (const auto& target : forward->targets) names.insert(target.cluster);
      for (const auto& mirror : forward->mirrors) names.insert(mirror.cluster);
    }
  }
}

}  // namespace

// ---- what arrives ----

std::vector<Refused> Assembly::take(EnvoyType type, std::span<const xds::RawResource> resources,
                                    std::span<const std::string> removed) {
  std::vector<Refused> refused;
  for (const std::string& name : removed) remove(type, name);
  for (const xds::RawResource& resource : resources) {
    if (resource.has_ttl) {
      refused.push_back({resource.name, "ttl: not honoured"});
    } else if (resource.type_url != type_url(type)) {
      refused.push_back({resource.name, "of another type: " + resource.type_url.substr(0, 128)});
    } else {
      take_one(type, resource, refused);
    }
  }
  return refused;
}

void Assembly::remove(EnvoyType type, const std::string& name) {
  not_honoured_.erase(std::string(type_name(type)) + name);
  kept_[type].erase(name);
  switch (type) {
    case EnvoyType::kListener:
      listeners_.erase(name);
      return;
    case EnvoyType::kCluster:
      clusters_.erase(name);
      originates_.erase(name);
      return;
    case EnvoyType::kEndpoints:
      endpoints_.erase(name);
      answered_endpoints_.insert(name);
      return;
    case EnvoyType::kRoutes:
      routes_.erase(name);
      parts_changed_ = true;
      return;
    case EnvoyType::kExtension:
      extensions_.erase(name);
      parts_changed_ = true;
      return;
    case EnvoyType::kSecret:
      secrets_.give_up(name);
      return;
  }
}

void Assembly::add_not_honoured(const std::string& key, std::vector<config::NotHonoured> found) {
  if (found.empty()) {
    not_honoured_.erase(key);
  } else {
    not_honoured_[key] = std::move(found);
  }
}

void Assembly::take_one(EnvoyType type, const xds::RawResource& resource,
                        std::vector<Refused>& refused) {
  const std::string& name = resource.name;
  const std::size_t before = refused.size();
  const auto keep = [&](auto decoded, auto&& store) {
    if (!decoded.problem.empty()) refused.push_back({name, decoded.problem});
    add_not_honoured(std::string(type_name(type)) + name, std::move(decoded.not_honoured));
    if (decoded.value) store(std::move(*decoded.value));
    if (refused.size() == before) {
      kept_[type][name] = {.bytes = resource.bytes, .version = resource.version};
    }
  };
  switch (type) {
    case EnvoyType::kListener:
      return keep(config::decode_listener(resource.bytes), [&](Listener listener) {
        const bool whole = refused.size() == before;
        if (!whole && listeners_.contains(name)) return;
        listeners_[name] = std::make_shared<const Listener>(std::move(listener));
      });
    case EnvoyType::kCluster:
      return keep(config::decode_cluster(resource.bytes), [&](config::ClusterResource cluster) {
        if (cluster.originate) {
          originates_[name] = *cluster.originate;
        } else {
          clusters_[name] = std::make_shared<const config::Cluster>(std::move(cluster.cluster));
        }
      });
    case EnvoyType::kEndpoints:
      return keep(config::decode_endpoints(resource.bytes), [&](config::Endpoints endpoints) {
        endpoints_[name] = std::make_shared<const config::Endpoints>(std::move(endpoints));
        answered_endpoints_.insert(name);
      });
    case EnvoyType::kRoutes:
      return keep(config::decode_routes(resource.bytes), [&](config::RouteTable routes) {
        routes_[name] = std::make_shared<const config::RouteTable>(std::move(routes));
        parts_changed_ = true;
      });
    case EnvoyType::kExtension:
      return keep(config::decode_extension(resource.bytes), [&](config::Extension extension) {
        extensions_[name] = std::move(extension);
        parts_changed_ = true;
      });
    case EnvoyType::kSecret:
      return keep(config::decode_secret(resource.bytes),
                  [&](config::Secret secret) { secrets_.take(name, std::move(secret)); });
  }
}

std::set<std::string> Assembly::wanted(EnvoyType type) const {
  if (type == EnvoyType::kSecret) return Secrets::names_of(clusters_);
  Names names;
  if (type == EnvoyType::kEndpoints) {
    for (const auto& [name, cluster] : clusters_) {
      if (cluster->discovery != config::Cluster::Discovery::kEds) continue;
      names.insert(cluster->eds_name.empty() ? name : cluster->eds_name);
    }
  }
  for (const auto& [name, listener] : listeners_) {
    for (const config::ChainPtr& chain : listener->chains) {
      if (!chain->http) continue;
      if (type == EnvoyType::kRoutes && !chain->http->route_config_name.empty()) {
        names.insert(chain->http->route_config_name);
      }
      if (type != EnvoyType::kExtension) continue;
      for (const config::HttpFilter& filter : chain->http->filters) {
        if (filter.discovered) names.insert(filter.name);
      }
    }
  }
  return names;
}

// ---- what is in force ----

bool Assembly::is_warm(const config::Cluster& cluster) const {
  if (cluster.discovery != config::Cluster::Discovery::kEds) return true;
  return answered_endpoints_.contains(cluster.eds_name.empty() ? cluster.name : cluster.eds_name);
}

void Assembly::warm_clusters() {
  std::map<std::string, config::ClusterPtr, std::less<>> next;
  secrets_.keep_only(clusters_);
  for (const auto& [name, cluster] : clusters_) {
    const config::ClusterPtr whole = is_warm(*cluster) ? secrets_.fill_in(cluster) : nullptr;
    if (whole) {
      next[name] = whole;
    } else if (const auto old = in_force_.find(name); old != in_force_.end()) {
      next[name] = old->second;
    }
  }
  in_force_ = std::move(next);
}

bool Assembly::waits_for_secrets() const {
  return std::ranges::any_of(clusters_, [&](const auto& item) {
    return !in_force_.contains(item.first) && secrets_.any_due(*item.second);
  });
}

void Assembly::give_up_secrets() {
  for (const std::string& name : Secrets::names_of(clusters_)) secrets_.give_up(name);
}

bool Assembly::warm_listener(const Listener& main) {
  Names targets;
  for (const config::ChainPtr& chain : main.chains) {
    if (chain->tcp) {
      for (const auto& target : chain->tcp->targets) targets.insert(target.cluster);
    }
    if (!chain->http) continue;
    if (chain->http->routes) add_targets(*chain->http->routes, targets);
    if (chain->http->route_config_name.empty()) continue;
    const auto routes = routes_.find(chain->http->route_config_name);
    if (routes == routes_.end()) {
      waiting_for_ = "routes " + chain->http->route_config_name;
      return false;
    }
    add_targets(*routes->second, targets);
  }
  for (const std::string& name : targets) {
    // One that nobody sent does not hold the others up: its requests are told so.
    const auto found = clusters_.find(name);
    if (found == clusters_.end() || in_force_.contains(name)) continue;
    const bool warm = is_warm(*found->second);
    if (warm && !secrets_.any_due(*found->second)) continue;
    waiting_for_ = (warm ? "secrets of " : "endpoints of ") + name;
    return false;
  }
  waiting_for_.clear();
  return true;
}

// With the routes and the filters that came by name. A filter that has not come refuses.
config::ChainPtr Assembly::complete(const config::ChainPtr& chain) const {
  if (!chain || !chain->http) return chain;
  const bool discovers = std::ranges::any_of(chain->http->filters, &config::HttpFilter::discovered);
  if (chain->http->route_config_name.empty() && !discovers) return chain;
  auto whole = std::make_shared<config::Chain>(*chain);
  if (!whole->http->route_config_name.empty()) {
    const auto routes = routes_.find(whole->http->route_config_name);
    whole->http->routes = routes == routes_.end() ? nullptr : routes->second;
  }
  std::vector<config::HttpFilter> filters;
  for (config::HttpFilter& filter : whole->http->filters) {
    const auto extension = filter.discovered ? extensions_.find(filter.name) : extensions_.end();
    if (extension == extensions_.end()) {
      filters.push_back(std::move(filter));
    } else if (!extension->second.ignored) {
      filter.settings = extension->second.filter.settings;
      filters.push_back(std::move(filter));
    }
  }
  whole->http->filters = std::move(filters);
  return whole;
}

config::Destination Assembly::complete(const config::Destination& destination) {
  const auto once = [&](const config::ChainPtr& chain) {
    if (!chain) return chain;
    config::ChainPtr& done = completed_[chain.get()];
    if (!done) done = complete(chain);
    return done;
  };
  return {.http = once(destination.http), .tcp = once(destination.tcp)};
}

void Assembly::rebuild_destinations(const Listener& main) {
  completed_.clear();
  auto addresses = std::make_shared<config::Snapshot::Destinations>(main.destinations);
  for (auto& [address, destination] : addresses->exact) destination = complete(destination);
  for (auto& block : addresses->blocks) block.destination = complete(block.destination);
  auto hostnames = std::make_shared<config::Snapshot::Hostnames>(main.hostnames);
  for (auto& [name, destination] : *hostnames) destination = complete(destination);
  by_address_ = std::move(addresses);
  by_hostname_ = std::move(hostnames);
  direct_ = complete(main.direct);
  completed_.clear();
}

config::SnapshotPtr Assembly::build(std::uint64_t number, std::string_view version) {
  auto snapshot = std::make_shared<config::Snapshot>();
  snapshot->number = number;
  snapshot->version = version;
  std::shared_ptr<const Listener> main;
  const Listener* terminate = nullptr;
  for (const auto& [name, listener] : listeners_) {
    if (listener->role == Listener::Role::kMain) main = listener;
    if (listener->role == Listener::Role::kTerminate) terminate = listener.get();
  }
  warm_clusters();
  if (!main) {
    waiting_for_ = "a listener of destinations";
    main_.reset();  // control took it away: nothing is let through
  } else if (warm_listener(*main)) {
    main_ = main;
  }
  if (main_ && (destinations_of_ != main_ || parts_changed_)) {
    rebuild_destinations(*main_);
    destinations_of_ = main_;
    parts_changed_ = false;
  }
  if (terminate != nullptr) snapshot->terminate = terminate->terminate;
  if (!originates_.empty()) snapshot->originate = originates_.begin()->second;
  snapshot->ready = main_ != nullptr && terminate != nullptr;
  if (main_) {
    snapshot->by_address = by_address_;
    snapshot->by_hostname = by_hostname_;
    snapshot->direct = direct_;
  }
  snapshot->clusters = std::make_shared<config::Snapshot::Clusters>(in_force_);
  snapshot->endpoints = std::make_shared<config::Snapshot::EndpointsMap>(endpoints_);
  for (const auto& [key, list] : not_honoured_) {
    snapshot->not_honoured.insert(snapshot->not_honoured.end(), list.begin(), list.end());
  }
  return snapshot;
}

}  // namespace mesh::waypoint
