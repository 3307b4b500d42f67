#include "test/sim/control.h"

#include <utility>

#include "test/sim/resources.h"

namespace mesh::sim {
namespace {

constexpr xds::ResourceType kAddress = xds::ResourceType::kAddress;
constexpr xds::ResourceType kAuthorization = xds::ResourceType::kAuthorization;

}  // namespace

// ---- telling ----

Control::Message Control::message(xds::ResourceType type) {
  Message made;
  made.response.type_url = xds::type_url(type);
  made.response.nonce = "n" + std::to_string(++nonces_);
  made.response.system_version = std::to_string(version_);
  return made;
}

void Control::add(const std::string& name, const Resource& resource, Message& into) {
  into.response.resources.push_back({.name = name,
                                     .version = resource.version,
                                     .type_url = into.response.type_url,
                                     .bytes = resource.bytes});
  if (resource.bad) into.bad.push_back(name);
}

void Control::set(xds::ResourceType type, const std::string& name, std::string bytes, bool bad,
                  Message& into) {
  Resource& resource = of(type).resources[name];
  resource = {.version = "v" + std::to_string(version_), .bytes = std::move(bytes), .bad = bad};
  add(name, resource, into);
}

void Control::remove(xds::ResourceType type, const std::string& name, Message& into) {
  of(type).resources.erase(name);
  into.response.removed.push_back(name);
}

void Control::tell(const workload::Delta& delta, const std::map<int, std::size_t>& ends) {
  ++version_;
  Message addresses = message(kAddress), policies = message(kAuthorization);
  for (const auto& one : delta.workloads) set(kAddress, one->uid, encode(*one), false, addresses);
  for (const auto& one : delta.services) {
    set(kAddress, one->key.to_string(), encode(*one), false, addresses);
  }
  for (const auto& one : delta.rejected) set(kAddress, one->resource, garbage(), true, addresses);
  for (const std::string& name : delta.removed) remove(kAddress, name, addresses);
  for (const auto& one : delta.policies) {
    set(kAuthorization, one->key, encode(*one), !one->usable(), policies);
  }
  for (const std::string& name : delta.removed_policies) remove(kAuthorization, name, policies);
  for (const auto& [pod, rule] : ends) ends_[pod] = rule;
  if (!std::exchange(complete_, complete_ || delta.addresses_complete)) {
    if (!complete_ || !listens()) return;
    begin(kAddress);
    begin(kAuthorization);
    return;
  }
  if (!listens()) return;
  const auto says = [](const Message& one) {
    return !one.response.resources.empty() || !one.response.removed.empty();
  };
  const std::size_t before = queue_.size();
  if (says(addresses)) queue_.push_back(std::move(addresses));
  if (says(policies)) queue_.push_back(std::move(policies));
  if (queue_.size() == before) queue_.emplace_back();
  queue_.back().ends = ends;
}

void Control::say_foreign_type() {
  if (!listens() || !complete_) return;
  Message made = message(kAddress);
  made.response.type_url = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
  made.response.resources.push_back({.name = "a", .version = "1", .bytes = "b"});
  made.bad.push_back(made.response.type_url);
  queue_.push_back(std::move(made));
}

void Control::say_without_nonce() {
  if (!listens() || !complete_) return;
  Message made = message(kAddress);
  made.response.nonce.clear();
  made.response.removed.push_back("K//Pod/ns0/pod0");  // which must not be believed
  queue_.push_back(std::move(made));
}

// The first response of a type: what this process lacks, and what is gone. The second type's brings
// all changes to their end.
void Control::begin(xds::ResourceType type) {
  PerType& state = of(type);
  Message first = message(type);
  for (const auto& [name, resource] : state.resources) {
    const auto told = state.told.find(name);
    if (told == state.told.end() || told->second != resource.version) add(name, resource, first);
  }
  for (const auto& [name, version] : state.told) {
    if (!state.resources.contains(name)) first.response.removed.push_back(name);
  }
  if (type == kAuthorization) first.ends = ends_;
  queue_.push_back(std::move(first));
}

std::optional<Control::Message> Control::next() {
  if (queue_.empty()) return std::nullopt;
  Message message = std::move(queue_.front());
  queue_.pop_front();
  const auto type = xds::type_of_url(message.response.type_url);
  if (message.response.nonce.empty()) return message;
  unanswered_[message.response.nonce] = message.bad;
  if (!type) return message;
  auto& told = of(*type).told;
  for (const std::string& name : message.response.removed) told.erase(name);
  for (const auto& one : message.response.resources) told[one.name] = one.version;
  for (const std::string& name : message.bad) told[name].clear();
  return message;
}

// ---- hearing ----

void Control::connected(bool fresh) {
  queue_.clear();
  unanswered_.clear();
  for (PerType& state : types_) {
    state.subscribed = false;
    if (fresh) state.told.clear();
  }
}

void Control::receive(const xds::DeltaRequest& request) {
  if (!request.response_nonce.empty()) return answered(request);
  const auto type = xds::type_of_url(request.type_url);
  if (!type) return findings_.add("discovery: " + node_ + " asks for " + request.type_url);
  PerType& state = of(*type);
  state.subscribed = true;
  if (state.told != std::map<std::string, std::string>(request.initial_versions.begin(),
                                                       request.initial_versions.end())) {
    findings_.add("discovery: " + node_ + " does not know what it has of " + request.type_url);
  }
  if (!listens() || !complete_) return;
  begin(kAddress);
  begin(kAuthorization);
}

void Control::answered(const xds::DeltaRequest& request) {
  const auto found = unanswered_.find(request.response_nonce);
  if (found == unanswered_.end()) {
    return findings_.add("discovery: " + node_ + " answers what was not said or answered already");
  }
  const std::string which = node_ + "'s answer to " + request.response_nonce;
  for (const std::string& name : found->second) {
    if (request.error && request.error->find(name) != std::string::npos) continue;
    findings_.add("discovery: " + which + " does not refuse " + name);
  }
  if (found->second.empty() && request.error) {
    findings_.add("discovery: " + which + " refuses what is good: " + *request.error);
  }
  unanswered_.erase(found);
}

}  // namespace mesh::sim
