#include "waypoint/delta.h"

#include <algorithm>
#include <utility>

namespace mesh::waypoint {
namespace {

struct TypeRow {
  std::string_view url, name;
  bool wildcard;
};
constexpr TypeRow kTypes[kEnvoyTypes] = {
    {"type.googleapis.com/envoy.config.cluster.v3.Cluster", "CDS", true},
    {"type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment", "EDS", false},
    {"type.googleapis.com/envoy.config.listener.v3.Listener", "LDS", true},
    {"type.googleapis.com/envoy.config.route.v3.RouteConfiguration", "RDS", false},
    {"type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret", "SDS", false},
    {"type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig", "ECDS", false},
};
const TypeRow& row(EnvoyType type) { return kTypes[static_cast<std::size_t>(type)]; }

}  // namespace

std::string_view type_url(EnvoyType type) { return row(type).url; }
std::string_view type_name(EnvoyType type) { return row(type).name; }

std::optional<EnvoyType> envoy_type_of(std::string_view url) {
  const auto* found = std::ranges::find(kTypes, url, &TypeRow::url);
  if (found == std::end(kTypes)) return std::nullopt;
  return static_cast<EnvoyType>(found - std::begin(kTypes));
}

DeltaState::DeltaState(xds::Node node, DeltaLimits limits)
    : node_(std::move(node)), limits_(limits) {}

void DeltaState::connected() {
  connected_ = true;
  made_progress_ = false;
  node_told_ = false;
  ++connection_;
  answers_.clear();
  for (int i = 0; i < kEnvoyTypes; ++i) {
    PerType& type = types_[static_cast<std::size_t>(i)];
    type.to_subscribe.clear();
    type.to_unsubscribe.clear();
    type.asked = false;
    type.first_due = kTypes[i].wildcard || !type.subscribed.empty();
  }
}

void DeltaState::disconnected() { connected_ = false; }

bool DeltaState::has_both() const {
  return types_[static_cast<std::size_t>(EnvoyType::kCluster)].received &&
         types_[static_cast<std::size_t>(EnvoyType::kListener)].received;
}

DeltaState::Counts DeltaState::counts(EnvoyType type) const {
  const PerType& found = types_[static_cast<std::size_t>(type)];
  return {found.responses, found.nacks, found.versions.size()};
}

// ---- receiving ----

Result<Done> DeltaState::check(const xds::DeltaResponse& response) const {
  if (response.nonce.empty()) return failed(Reason::kProtocol, "a response without a nonce");
  const auto is_long = [&](const std::string& version) {
    return version.size() > limits_.version_bytes_max;
  };
  if (is_long(response.nonce) || is_long(response.system_version) ||
      response.resources.size() + response.removed.size() > limits_.changes_max) {
    return failed(Reason::kTooLarge, "xds response");
  }
  for (const xds::RawResource& resource : response.resources) {
    if (resource.name.size() > limits_.name_bytes_max || is_long(resource.version)) {
      return failed(Reason::kTooLarge, "xds resource");
    }
  }
  return Done{};
}

Result<bool> DeltaState::receive(const xds::DeltaResponse& response, ConfigStore& store) {
  TRY_DO(check(response));
  Answer answer{.sequence = sequence_,
                .connection = connection_,
                .type_url = response.type_url,
                .nonce = response.nonce,
                .error = {},
                .version = response.system_version};
  const auto known = envoy_type_of(response.type_url);
  if (!known || !of(*known).asked) {
    answer.error = "not asked for: " + response.type_url.substr(0, 256);
    last_nack_ = answer.error;
    answers_.push_back(std::move(answer));
    return false;
  }
  PerType& type = of(*known);
  if (type.versions.size() + response.resources.size() > limits_.resources_max) {
    return failed(Reason::kTooLarge, "xds resources");
  }
  made_progress_ = true;
  type.received = true;
  ++type.responses;
  const std::vector<Refused> refused = store.take(*known, response.resources, response.removed);
  for (const std::string& name : response.removed) type.versions.erase(name);
  for (const xds::RawResource& resource : response.resources) {
    type.versions[resource.name] = resource.version;
  }
  for (const Refused& one : refused) {
    // Told to the next server with an empty version, so that it is sent again.
    if (const auto found = type.versions.find(one.name); found != type.versions.end()) {
      found->second.clear();
    }
    if (answer.error.size() < limits_.error_bytes_max) {
      answer.error += (answer.error.empty() ? "" : "; ") + one.name + ": " + one.error;
    }
  }
  if (answer.error.size() > limits_.error_bytes_max) answer.error.resize(limits_.error_bytes_max);
  if (!answer.error.empty()) {
    ++type.nacks;
    last_nack_ = answer.error;
  }
  answer.sequence = ++sequence_;
  unapplied_.push_back(std::move(answer));
  follow(store);
  return true;
}

// Asks for the names that are mentioned now, and no longer for the others.
void DeltaState::follow(ConfigStore& store) {
  for (int i = 0; i < kEnvoyTypes; ++i) {
    if (kTypes[i].wildcard) continue;
    PerType& type = types_[static_cast<std::size_t>(i)];
    const std::set<std::string> wanted = store.wanted(static_cast<EnvoyType>(i));
    for (const std::string& name : wanted) {
      if (!type.subscribed.contains(name)) type.to_subscribe.push_back(name);
    }
    for (const std::string& name : type.subscribed) {
      if (wanted.contains(name)) continue;
      type.to_unsubscribe.push_back(name);
      type.versions.erase(name);
    }
    type.subscribed = wanted;
    if (!type.asked && !type.subscribed.empty()) type.first_due = true;
  }
}

void DeltaState::applied(std::uint64_t sequence) {
  while (!unapplied_.empty() && unapplied_.front().sequence <= sequence) {
    Answer answer = std::move(unapplied_.front());
    unapplied_.pop_front();
    version_ = answer.version;
    if (connected_ && answer.connection == connection_) answers_.push_back(std::move(answer));
  }
}

// ---- asking ----

xds::DeltaRequest DeltaState::first_request(EnvoyType which) {
  PerType& type = of(which);
  type.first_due = false;
  type.asked = true;
  type.to_subscribe.clear();
  type.to_unsubscribe.clear();
  xds::DeltaRequest request;
  request.node = node_;
  request.type_url = type_url(which);
  if (!row(which).wildcard)
    request.subscribe.assign(type.subscribed.begin(), type.subscribed.end());
  request.initial_versions.assign(type.versions.begin(), type.versions.end());
  return request;
}

std::optional<xds::DeltaRequest> DeltaState::next_request() {
  if (!connected_) return std::nullopt;
  // Clusters first, listeners last: what is referred to comes before who refers to it.
  for (int i = 0; i < kEnvoyTypes; ++i) {
    if (types_[static_cast<std::size_t>(i)].first_due) {
      return first_request(static_cast<EnvoyType>(i));
    }
  }
  if (!answers_.empty()) {
    Answer answer = std::move(answers_.front());
    answers_.pop_front();
    xds::DeltaRequest request;
    request.type_url = std::move(answer.type_url);
    request.response_nonce = std::move(answer.nonce);
    if (!answer.error.empty()) request.error = std::move(answer.error);
    return request;
  }
  for (int i = 0; i < kEnvoyTypes; ++i) {
    PerType& type = types_[static_cast<std::size_t>(i)];
    if (type.to_subscribe.empty() && type.to_unsubscribe.empty()) continue;
    xds::DeltaRequest request;
    request.type_url = kTypes[i].url;
    request.subscribe = std::exchange(type.to_subscribe, {});
    request.unsubscribe = std::exchange(type.to_unsubscribe, {});
    return request;
  }
  return std::nullopt;
}

}  // namespace mesh::waypoint
