#include "control/ads_session.h"

#include <algorithm>

#include "mesh/xds/ads_codec.h"

namespace mesh::control {
namespace {

using xds::ResourceType;

constexpr std::size_t kMaxNames = 16'384;
constexpr std::size_t kMaxNameBytes = 1024;
constexpr std::size_t kMaxInitialVersions = 1'000'000;

bool too_long(const std::string& name) { return name.size() > kMaxNameBytes; }

}  // namespace

xds::DeltaResponse AdsResponse::message() const {
  xds::DeltaResponse message;
  message.system_version = system_version;
  message.type_url = xds::type_url(type);
  message.nonce = nonce;
  for (const auto& resource : delta->changed) {
    message.resources.push_back({.name = resource->name,
                                 .version = resource->version,
                                 .type_url = message.type_url,
                                 .bytes = resource->bytes});
  }
  message.removed = delta->removed;
  return message;
}

std::string AdsResponse::encoded_head() const {
  return xds::encode(xds::DeltaResponse{.system_version = system_version,
                                        .type_url = std::string(xds::type_url(type)),
                                        .nonce = nonce});
}

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
    const Resources& there = snapshot_->of(*type);
    for (const auto& [name, version] : request.initial_versions) {
      if (too_long(name)) return failed(Reason::kTooLarge, "a resource name of over 1 KiB");
      const auto now = there.find(name);
      const bool same = now != there.end() && now->second->version == version;
      of_type.known.set(
          name, same ? now->second : std::make_shared<const Resource>(Resource{name, version, {}}));
    }
  }
  TRY_DO(receive_subscriptions(request, of_type));
  if (!first && !request.response_nonce.empty()) receive_answer(request, of_type);
  of_type.dirty |= first || !request.subscribe.empty() || !request.unsubscribe.empty();
  forget_unwanted_refusals(*type);
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
    if (of_type.in_flight) of_type.in_flight->whole.reset();
  }
  for (const std::string& name : request.unsubscribe) {
    if (name == "*") {
      of_type.wildcard = false;
      if (of_type.in_flight) of_type.in_flight->whole.reset();
      continue;
    }
    of_type.names.erase(name);
    of_type.told_missing.erase(name);
    if (!of_type.wildcard) of_type.known.erase(name);
    if (of_type.in_flight) of_type.in_flight->whole.reset();
  }
  return Done{};
}

void AdsSession::receive_answer(const xds::DeltaRequest& request, PerType& of_type) {
  // A nonce that is not the last one's is about the past.
  if (!of_type.in_flight || of_type.in_flight->nonce != request.response_nonce) return;
  InFlight answered = *std::move(of_type.in_flight);
  of_type.in_flight.reset();
  of_type.dirty = true;
  if (request.error) {
    ++nacks_;
    last_nack_ = request.error->substr(0, 4096);
    of_type.refused_at = snapshot_->version;
    for (const auto& one : answered.delta->changed) of_type.refused[one->name] = one->version;
    for (const std::string& name : answered.delta->removed) of_type.refused[name].clear();
    return;
  }
  if (answered.whole) {
    of_type.known = *std::move(answered.whole);
    return;
  }
  for (const auto& one : answered.delta->changed) {
    of_type.refused.erase(one->name);
    of_type.known.set(one->name, one);
  }
  for (const std::string& name : answered.delta->removed) {
    of_type.refused.erase(name);
    of_type.known.erase(name);
  }
}

void AdsSession::update(std::shared_ptr<const Snapshot> snapshot) {
  snapshot_ = std::move(snapshot);
  for (PerType& of_type : types_) of_type.dirty = true;
  for (const ResourceType type : {ResourceType::kAddress, ResourceType::kAuthorization}) {
    forget_unwanted_refusals(type);
  }
  note_progress();
}

std::optional<AdsResponse> AdsSession::next() {
  PerType& policies = of(ResourceType::kAuthorization);
  PerType& addresses = of(ResourceType::kAddress);
  const auto is_due = [](const PerType& t) {
    return t.requested && !t.in_flight && (t.dirty || t.first_due);
  };
  std::shared_ptr<const Delta> late;  // policies to remove, or to shrink
  if (is_due(policies)) {
    auto missing = this->missing(ResourceType::kAuthorization);
    late = take_late(missing);
    const bool more = late != nullptr;
    policies.dirty = more;
    if (policies.first_due || !missing->changed.empty()) {
      return respond(ResourceType::kAuthorization, std::move(missing), !more);
    }
  }
  // Workloads wait for the policies they may name, unless nobody asked for policies (yet).
  const bool policy_first = policies.in_flight && !addresses.first_due;
  if (is_due(addresses) && !policy_first) {
    auto missing = this->missing(ResourceType::kAddress);
    const bool send = addresses.first_due || !missing->empty();
    addresses.dirty = false;
    if (send) return respond(ResourceType::kAddress, std::move(missing), true);
  }
  const bool addresses_done = !addresses.requested || settled(ResourceType::kAddress);
  if (late != nullptr && addresses_done) {
    policies.dirty = false;
    return respond(ResourceType::kAuthorization, std::move(late), true);
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
      wanted.set(known->first, known->second);
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

std::shared_ptr<const Delta> AdsSession::missing(ResourceType type) const {
  const PerType& of_type = of(type);
  const Resources& all = snapshot_->of(type);
  if (of_type.simple()) return snapshot_->deltas->between(of_type.known, all);
  std::vector<std::string> unknown_names;
  const Resources wanted = of_type.wildcard ? all : this->wanted(type, unknown_names);
  const bool retry = snapshot_->version > of_type.refused_at;
  const auto refused_as = [&](const std::string& name, const std::string& version) {
    const auto refused = of_type.refused.find(name);
    return refused != of_type.refused.end() && !retry && refused->second == version;
  };
  auto missing = std::make_shared<Delta>();
  const auto remove = [&](const std::string& name) {
    if (!all.contains(name) && !refused_as(name, "")) missing->removed.push_back(name);
  };
  Resources::diff(of_type.known, wanted,
                  [&](const std::string& name, const auto* had, const auto* now) {
                    if (now == nullptr) return remove(name);
                    const bool has = had != nullptr && (*had)->version == (*now)->version;
                    if (!has && !refused_as(name, (*now)->version))
                      missing->changed.push_back(*now);
                  });
  // What was refused is not known, whatever was acknowledged before it.
  for (const auto& [name, version] : of_type.refused) {
    const auto now = wanted.find(name);
    const auto had = of_type.known.find(name);
    if (had == of_type.known.end()) {
      remove(name);
    } else if (now != wanted.end() && had->second->version == now->second->version &&
               !refused_as(name, now->second->version)) {
      missing->changed.push_back(now->second);
    }
  }
  for (const std::string& name : unknown_names) {
    if (!of_type.told_missing.contains(name) && !of_type.known.contains(name)) {
      missing->removed.push_back(name);
    }
  }
  return missing;
}

bool AdsSession::is_late(const Resource& policy) const {
  const Resources& known = of(ResourceType::kAuthorization).known;
  const auto before = known.find(policy.name);
  return before != known.end() && policy.reach < before->second->reach;
}

std::shared_ptr<const Delta> AdsSession::take_late(std::shared_ptr<const Delta>& policies) const {
  const bool any = !policies->removed.empty() ||
                   std::any_of(policies->changed.begin(), policies->changed.end(),
                               [&](const auto& policy) { return is_late(*policy); });
  if (!any) return nullptr;
  auto late = std::make_shared<Delta>();
  auto rest = std::make_shared<Delta>();
  late->removed = policies->removed;
  for (const auto& policy : policies->changed) {
    (is_late(*policy) ? late : rest)->changed.push_back(policy);
  }
  policies = std::move(rest);
  return late;
}

std::optional<AdsResponse> AdsSession::respond(ResourceType type,
                                               std::shared_ptr<const Delta> delta, bool whole) {
  PerType& of_type = of(type);
  InFlight in_flight{
      .nonce = std::to_string(++last_nonce_), .delta = std::move(delta), .whole = {}};
  if (whole && of_type.simple()) in_flight.whole = snapshot_->of(type);
  if (!of_type.names.empty()) {
    for (const std::string& name : in_flight.delta->removed) {
      if (of_type.names.contains(name)) of_type.told_missing.insert(name);
    }
  }
  resources_sent_ += in_flight.delta->changed.size();
  of_type.first_due = false;
  AdsResponse response{.system_version = std::to_string(snapshot_->version),
                       .type = type,
                       .nonce = in_flight.nonce,
                       .delta = in_flight.delta};
  of_type.in_flight = std::move(in_flight);
  return response;
}

void AdsSession::forget_unwanted_refusals(ResourceType type) {
  PerType& of_type = of(type);
  if (of_type.wildcard || of_type.refused.empty()) return;
  std::vector<std::string> unknown_names;
  const Resources wanted = this->wanted(type, unknown_names);
  const Resources& all = snapshot_->of(type);
  std::erase_if(of_type.refused, [&](const auto& refused) {
    return all.contains(refused.first) && !wanted.contains(refused.first);
  });
}

bool AdsSession::settled(ResourceType type) const {
  const PerType& of_type = of(type);
  if (!of_type.requested || of_type.first_due || of_type.in_flight) return false;
  return !of_type.dirty || missing(type)->empty();
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
