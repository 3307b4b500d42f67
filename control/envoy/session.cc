#include "control/envoy/session.h"

#include <algorithm>

namespace mesh::control {
namespace {

constexpr std::size_t kMaxNames = 16'384;
constexpr std::size_t kMaxNameBytes = 1024;
constexpr std::size_t kMaxInitialVersions = 100'000;

std::optional<EnvoyType> type_of(std::string_view url) {
  for (const EnvoyType type : kEnvoyOrder) {
    if (type_url(type) == url) return type;
  }
  return {};
}

// Clusters and listeners are asked for as a whole.
bool is_whole(EnvoyType type) {
  return type == EnvoyType::kCluster || type == EnvoyType::kListener;
}

// What listeners name, and so must outlive them.
bool is_named(EnvoyType type) {
  return type == EnvoyType::kCluster || type == EnvoyType::kEndpoint;
}

Result<Done> check(const std::vector<std::string>& names) {
  if (names.size() > kMaxNames) return failed(Reason::kTooLarge, "too many subscriptions");
  for (const std::string& name : names) {
    if (name.size() > kMaxNameBytes) {
      return failed(Reason::kTooLarge, "a resource name of over 1 KiB");
    }
  }
  return Done{};
}

}  // namespace

Result<Done> WaypointSession::receive(const EnvoyRequest& request) {
  const auto type = type_of(request.type_url);
  if (!type) return Done{};  // secrets, extensions: nobody promised them
  PerType& of_type = of(*type);
  const bool first = !of_type.requested;
  TRY_DO(check(request.names));
  TRY_DO(check(request.subscribe));
  TRY_DO(check(request.unsubscribe));
  if (request.initial_versions.size() > kMaxInitialVersions) {
    return failed(Reason::kTooLarge, "too many initial resource versions");
  }
  if (first) {
    of_type.requested = true;
    of_type.first_due = true;
    for (const auto& [name, version] : request.initial_versions) {
      if (name.size() > kMaxNameBytes) {
        return failed(Reason::kTooLarge, "a resource name of over 1 KiB");
      }
      of_type.claimed.emplace(name, version);
    }
  }
  TRY_DO(subscribe(request, first, of_type));
  if (!first && !request.nonce.empty()) answered(request, of_type);
  return Done{};
}

Result<Done> WaypointSession::subscribe(const EnvoyRequest& request, bool first, PerType& of_type) {
  if (!delta_) {
    // Every request says the whole list. An empty one is a wildcard until something was named.
    const std::set<std::string, std::less<>> names(request.names.begin(), request.names.end());
    if (first || of_type.wildcard) of_type.wildcard = names.empty() || names.contains("*");
    if (names == of_type.names) return Done{};
    for (const std::string& name : names) {
      if (!of_type.names.contains(name)) of_type.known.erase(name);
    }
    std::erase_if(of_type.known,
                  [&](const auto& one) { return !of_type.wildcard && !names.contains(one.first); });
    of_type.names = names;
    of_type.first_due = true;
    return Done{};
  }
  if (first) of_type.wildcard = request.subscribe.empty();
  for (const std::string& name : request.subscribe) {
    if (name == "*") {
      of_type.wildcard = true;
      continue;
    }
    if (of_type.names.size() >= kMaxNames) {
      return failed(Reason::kTooLarge, "too many subscriptions");
    }
    of_type.names.insert(name);
    of_type.told_missing.erase(name);
    of_type.known.erase(name);  // asked for again: sent again
    if (!first) of_type.claimed.erase(name);
  }
  for (const std::string& name : request.unsubscribe) {
    if (name == "*") {
      of_type.wildcard = false;
      continue;
    }
    of_type.names.erase(name);
    of_type.told_missing.erase(name);
    if (!of_type.wildcard) {
      of_type.known.erase(name);
      of_type.refused.erase(name);
      of_type.claimed.erase(name);
    }
  }
  return Done{};
}

void WaypointSession::answered(const EnvoyRequest& request, PerType& of_type) {
  // A nonce that is not the last one's is about the past.
  if (!of_type.in_flight || of_type.in_flight->nonce != request.nonce) return;
  InFlight in_flight = *std::move(of_type.in_flight);
  of_type.in_flight.reset();
  if (request.error) {
    ++nacks_;
    last_nack_ = request.error->substr(0, 4096);
    for (auto& [name, resource] : in_flight.sent) of_type.refused[name] = resource;
    return;
  }
  for (auto& [name, resource] : in_flight.sent) {
    of_type.refused.erase(name);
    of_type.claimed.erase(name);
    of_type.known[name] = resource;
  }
  for (const std::string& name : in_flight.removed) {
    of_type.refused.erase(name);
    of_type.claimed.erase(name);
    of_type.known.erase(name);
  }
  if (is_current()) last_nack_.clear();
}

void WaypointSession::update(std::shared_ptr<const WaypointSnapshot> snapshot) {
  snapshot_ = std::move(snapshot);
}

bool WaypointSession::wants(EnvoyType type, const std::string& name) const {
  return of(type).wildcard || of(type).names.contains(name);
}

bool WaypointSession::has(const PerType& of_type, const std::string& name,
                          const Resource& resource) const {
  const auto refused = of_type.refused.find(name);
  if (refused != of_type.refused.end()) return refused->second->version == resource.version;
  const auto known = of_type.known.find(name);
  if (known != of_type.known.end()) return known->second->version == resource.version;
  const auto claimed = of_type.claimed.find(name);
  return claimed != of_type.claimed.end() && claimed->second == resource.version;
}

WaypointSession::Named WaypointSession::changes(EnvoyType type) const {
  Named changed;
  const PerType& of_type = of(type);
  for (const auto& [name, resource] : snapshot_->of(type)) {
    if (wants(type, name) && !has(of_type, name, *resource)) changed.emplace(name, resource);
  }
  return changed;
}

std::vector<std::string> WaypointSession::removals(EnvoyType type) const {
  std::vector<std::string> removed;
  const PerType& of_type = of(type);
  const Resources& there = snapshot_->of(type);
  const auto add = [&](const auto& names) {
    for (const auto& [name, value] : names) {
      if (!there.contains(name)) removed.push_back(name);
    }
  };
  add(of_type.known);
  add(of_type.claimed);
  for (const std::string& name : of_type.names) {
    const bool told = of_type.told_missing.contains(name) || of_type.known.contains(name) ||
                      of_type.claimed.contains(name);
    if (delta_ && !there.contains(name) && !told) removed.push_back(name);
  }
  std::sort(removed.begin(), removed.end());
  removed.erase(std::unique(removed.begin(), removed.end()), removed.end());
  return removed;
}

bool WaypointSession::listeners_settled() const {
  for (const EnvoyType type : {EnvoyType::kListener, EnvoyType::kRoute}) {
    const PerType& of_type = of(type);
    if (!of_type.requested) continue;
    if (of_type.in_flight || of_type.first_due || !changes(type).empty()) return false;
    // Refused listeners are not in force: the older ones are, and name older clusters.
    if (!of_type.refused.empty()) return false;
  }
  return true;
}

std::optional<EnvoyResponse> WaypointSession::next() {
  if (snapshot_ == nullptr) return {};
  const auto& clusters = of(EnvoyType::kCluster).in_flight;
  const bool warming = clusters && !clusters->sent.empty();
  for (const EnvoyType type : kEnvoyOrder) {
    const PerType& of_type = of(type);
    if (!of_type.requested || of_type.in_flight) continue;
    // Listeners wait for the clusters that they name. Endpoints do not: Envoy acknowledges clusters
    // only once their endpoints have come.
    if (warming && !is_named(type)) continue;
    if (auto response = respond(type)) return response;
  }
  return {};
}

// State of the world: everything that the client is to have; with `keep`, what it has and is to
// lose too.
void WaypointSession::fill_whole(EnvoyType type, bool keep, EnvoyResponse& response) const {
  Named whole;
  for (const auto& [name, resource] : snapshot_->of(type)) {
    if (wants(type, name)) whole.emplace(name, resource);
  }
  if (keep) {
    for (const auto& [name, resource] : of(type).known) whole.emplace(name, resource);
  }
  for (auto& [name, resource] : whole) response.resources.push_back(std::move(resource));
}

std::optional<EnvoyResponse> WaypointSession::respond(EnvoyType type) {
  PerType& of_type = of(type);
  const Named changed = changes(type);
  std::vector<std::string> removed = removals(type);
  const bool keep = is_named(type) && !listeners_settled();
  if (keep) {
    // What nobody has is missing at once; what is in use goes later.
    std::erase_if(removed, [&](const std::string& name) {
      return of_type.known.contains(name) || of_type.claimed.contains(name);
    });
  }
  if (!of_type.first_due && changed.empty() && removed.empty()) return {};
  EnvoyResponse response;
  response.version = std::to_string(snapshot_->version);
  response.type_url = type_url(type);
  response.nonce = std::to_string(++last_nonce_);
  if (delta_) {
    for (const auto& [name, resource] : changed) response.resources.push_back(resource);
    response.removed = removed;
  } else {
    fill_whole(type, keep, response);
    // Names without a resource are not answered one by one; wait until there is something.
    if (!is_whole(type) && response.resources.empty()) {
      of_type.first_due = false;
      for (const std::string& name : removed) of_type.known.erase(name);
      return {};
    }
  }
  of_type.first_due = false;
  for (const std::string& name : removed) {
    if (of_type.names.contains(name)) of_type.told_missing.insert(name);
  }
  InFlight in_flight{.nonce = response.nonce, .sent = {}, .removed = std::move(removed)};
  for (const auto& resource : response.resources) in_flight.sent[resource->name] = resource;
  if (type == EnvoyType::kCluster) {
    // Envoy warms a new or changed cluster with endpoints that arrive after it.
    for (const auto& [name, resource] : changed) {
      of(EnvoyType::kEndpoint).known.erase(name);
      of(EnvoyType::kEndpoint).claimed.erase(name);
    }
  }
  of_type.in_flight = std::move(in_flight);
  return response;
}

bool WaypointSession::is_current() const {
  if (snapshot_ == nullptr) return false;
  for (const EnvoyType type : kEnvoyOrder) {
    const Delivery its = delivery(type);
    if (its != Delivery::kSynced && its != Delivery::kIgnored) return false;
  }
  return of(EnvoyType::kListener).requested && of(EnvoyType::kCluster).requested;
}

WaypointSession::Delivery WaypointSession::delivery(EnvoyType type) const {
  const PerType& of_type = of(type);
  if (!of_type.requested) return Delivery::kIgnored;
  if (!of_type.refused.empty()) return Delivery::kRefused;
  const bool under_way = of_type.in_flight || of_type.first_due || snapshot_ == nullptr;
  if (under_way || !changes(type).empty() || !removals(type).empty()) return Delivery::kStale;
  return Delivery::kSynced;
}

}  // namespace mesh::control
