#include "control/ads_session.h"

#include <algorithm>

namespace mesh::control {
namespace {

using xds::ResourceType;

constexpr std::size_t kMaxNames = 16'384;
constexpr std::size_t kMaxNameBytes = 1024;
constexpr std::size_t kMaxInitialVersions = 1'000'000;

bool too_long(const std::string& name) { return name.size() > kMaxNameBytes; }

}  // namespace

AdsSession::AdsSession(std::shared_ptr<const Snapshot> snapshot) : snapshot_(std::move(snapshot)) {}

Result<Done> AdsSession::receive(const xds::DeltaRequest& request) {
  const auto type = xds::type_of_url(request.type_url);
  if (!type) return failed(Reason::kProtocol, "a type of resource that is not served here");
  PerType& of_type = of(*type);
  const bool first = !of_type.requested;
  if (first) {
    if (request.initial_versions.size() > kMaxInitialVersions) {
      return failed(Reason::kTooLarge, "too many initial resource versions");
    }
    of_type.requested = true;
    of_type.first_due = true;
    // Without names a first request asks for everything.
    of_type.wildcard = request.subscribe.empty();
    for (const auto& [name, version] : request.initial_versions) {
      if (too_long(name)) return failed(Reason::kTooLarge, "a resource name of over 1 KiB");
      of_type.known.emplace(name, version);
    }
  }
  TRY_DO(receive_subscriptions(request, of_type));
  if (!first && !request.response_nonce.empty()) receive_answer(request, of_type);
  of_type.dirty |= first || !request.subscribe.empty() || !request.unsubscribe.empty();
  note_progress();
  return Done{};
}

Result<Done> AdsSession::receive_subscriptions(const xds::DeltaRequest& request, PerType& of_type) {
  for (const std::string& name : request.subscribe) {
    if (too_long(name)) return failed(Reason::kTooLarge, "a resource name of over 1 KiB");
    if (name == "*") {
      of_type.wildcard = true;
      continue;
    }
    if (of_type.names.size() >= kMaxNames) {
      return failed(Reason::kTooLarge, "too many subscriptions");
    }
    of_type.names.insert(name);
    of_type.told_missing.erase(name);
    // A name that is asked for again is to be sent again.
    of_type.known.erase(name);
  }
  for (const std::string& name : request.unsubscribe) {
    if (name == "*") {
      of_type.wildcard = false;
      continue;
    }
    of_type.names.erase(name);
    of_type.told_missing.erase(name);
    if (!of_type.wildcard) of_type.known.erase(name);
  }
  return Done{};
}

void AdsSession::receive_answer(const xds::DeltaRequest& request, PerType& of_type) {
  // A nonce that is not the last one's is about the past.
  if (!of_type.in_flight || of_type.in_flight->nonce != request.response_nonce) return;
  const InFlight answered = *std::move(of_type.in_flight);
  of_type.in_flight.reset();
  of_type.dirty = true;
  if (request.error) {
    ++nacks_;
    last_nack_ = request.error->substr(0, 4096);
    of_type.refused_at = snapshot_->version;
    for (const Change& change : answered.changes) of_type.refused[change.name] = change.version;
    return;
  }
  for (const Change& change : answered.changes) {
    of_type.refused.erase(change.name);
    if (change.version.empty()) {
      of_type.known.erase(change.name);
      of_type.reach.erase(change.name);
    } else {
      of_type.known[change.name] = change.version;
      if (change.reach > 0) of_type.reach[change.name] = change.reach;
      if (change.reach == 0) of_type.reach.erase(change.name);
    }
  }
}

void AdsSession::update(std::shared_ptr<const Snapshot> snapshot) {
  snapshot_ = std::move(snapshot);
  for (PerType& of_type : types_) of_type.dirty = true;
  note_progress();
}

std::optional<xds::DeltaResponse> AdsSession::next() {
  PerType& policies = of(ResourceType::kAuthorization);
  PerType& addresses = of(ResourceType::kAddress);
  const auto is_due = [](const PerType& t) {
    return t.requested && !t.in_flight && (t.dirty || t.first_due);
  };
  Missing late;  // policies to remove, or to shrink
  if (is_due(policies)) {
    Missing missing = this->missing(ResourceType::kAuthorization);
    late = take_late(missing);
    if (policies.first_due || !missing.changed.empty()) {
      const bool more = !late.empty();
      auto response = respond(ResourceType::kAuthorization, std::move(missing));
      policies.dirty = more;
      return response;
    }
    policies.dirty = !late.empty();
  }
  // Workloads wait for the policies they may name, unless nobody asked for policies (yet).
  const bool policy_first = policies.in_flight && !addresses.first_due;
  if (is_due(addresses) && !policy_first) {
    Missing missing = this->missing(ResourceType::kAddress);
    const bool send = addresses.first_due || !missing.empty();
    addresses.dirty = false;
    if (send) return respond(ResourceType::kAddress, std::move(missing));
  }
  const bool addresses_done = !addresses.requested || settled(ResourceType::kAddress);
  if (!late.empty() && addresses_done) {
    policies.dirty = false;
    return respond(ResourceType::kAuthorization, std::move(late));
  }
  note_progress();
  return {};
}

Resources AdsSession::wanted(ResourceType type, std::vector<std::string>& unknown_names) const {
  const PerType& of_type = of(type);
  const Resources& all = snapshot_->of(type);
  if (of_type.wildcard) return all;
  Resources wanted;
  for (const std::string& name : of_type.names) {
    bool found = false;
    const auto add = [&](const std::string& resource) {
      const auto known = all.find(resource);
      if (known == all.end()) return;
      wanted.insert(*known);
      found = true;
    };
    if (type == ResourceType::kAddress) {
      for (const std::string& resource : snapshot_->find(name)) add(resource);
    } else {
      add(name);
    }
    if (!found) unknown_names.push_back(name);
  }
  return wanted;
}

AdsSession::Missing AdsSession::missing(ResourceType type) const {
  const PerType& of_type = of(type);
  std::vector<std::string> unknown_names;
  const Resources subset = of_type.wildcard ? Resources() : wanted(type, unknown_names);
  const Resources& wanted = of_type.wildcard ? snapshot_->of(type) : subset;
  const bool retry = snapshot_->version > of_type.refused_at;
  const auto refused_as = [&](const std::string& name, const std::string& version) {
    const auto refused = of_type.refused.find(name);
    return refused != of_type.refused.end() && !retry && refused->second == version;
  };
  Missing missing;
  for (const auto& [name, resource] : wanted) {
    const auto known = of_type.known.find(name);
    const bool has = known != of_type.known.end() && known->second == resource->version &&
                     !of_type.refused.contains(name);
    if (!has && !refused_as(name, resource->version)) missing.changed.push_back(resource);
  }
  const auto remove = [&](const std::string& name) {
    if (!snapshot_->of(type).contains(name) && !refused_as(name, "")) {
      missing.removed.push_back(name);
    }
  };
  for (const auto& [name, version] : of_type.known) remove(name);
  for (const auto& [name, version] : of_type.refused) {
    if (!of_type.known.contains(name)) remove(name);
  }
  for (const std::string& name : unknown_names) {
    if (!of_type.told_missing.contains(name) && !of_type.known.contains(name)) {
      missing.removed.push_back(name);
    }
  }
  return missing;
}

AdsSession::Missing AdsSession::take_late(Missing& policies) const {
  Missing late{.changed = {}, .removed = std::exchange(policies.removed, {})};
  const auto& reach = of(ResourceType::kAuthorization).reach;
  std::erase_if(policies.changed, [&](const std::shared_ptr<const Resource>& one) {
    const auto before = reach.find(one->name);
    if (before == reach.end() || one->reach >= before->second) return false;
    late.changed.push_back(one);
    return true;
  });
  return late;
}

std::optional<xds::DeltaResponse> AdsSession::respond(ResourceType type, Missing missing) {
  PerType& of_type = of(type);
  xds::DeltaResponse response;
  response.system_version = std::to_string(snapshot_->version);
  response.type_url = xds::type_url(type);
  response.nonce = std::to_string(++last_nonce_);
  InFlight in_flight{.nonce = response.nonce, .changes = {}};
  for (const auto& resource : missing.changed) {
    response.resources.push_back({.name = resource->name,
                                  .version = resource->version,
                                  .type_url = response.type_url,
                                  .bytes = resource->bytes});
    in_flight.changes.push_back({resource->name, resource->version, resource->reach});
  }
  for (std::string& name : missing.removed) {
    if (of_type.names.contains(name)) of_type.told_missing.insert(name);
    in_flight.changes.push_back({name, ""});
    response.removed.push_back(std::move(name));
  }
  resources_sent_ += response.resources.size();
  of_type.first_due = false;
  of_type.in_flight = std::move(in_flight);
  return response;
}

bool AdsSession::settled(ResourceType type) const {
  const PerType& of_type = of(type);
  if (!of_type.requested || of_type.first_due || of_type.in_flight) return false;
  return !of_type.dirty || missing(type).empty();
}

bool AdsSession::is_current() const {
  for (const ResourceType type : {ResourceType::kAddress, ResourceType::kAuthorization}) {
    if (!settled(type) || !of(type).refused.empty()) return false;
  }
  return true;
}

void AdsSession::note_progress() {
  if (!is_current()) return;
  acked_version_ = snapshot_->version;
  last_nack_.clear();
}

}  // namespace mesh::control
