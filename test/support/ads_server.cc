#include "test/support/ads_server.h"

namespace mesh::test {
namespace {

constexpr xds::ResourceType kTypes[] = {xds::ResourceType::kAddress,
                                        xds::ResourceType::kAuthorization};

}  // namespace

void ControlState::set(xds::ResourceType type, const std::string& name, std::string bytes) {
  resources_[static_cast<std::size_t>(type)][name] = {.version = std::to_string(++version_),
                                                      .bytes = std::move(bytes)};
}

void ControlState::remove(xds::ResourceType type, const std::string& name) {
  ++version_;
  resources_[static_cast<std::size_t>(type)].erase(name);
}

void AdsServerSession::receive(const xds::DeltaRequest& request) {
  const auto type = xds::type_of_url(request.type_url);
  if (!type) return;
  PerType& state = types_[static_cast<std::size_t>(*type)];
  if (request.node) node_ = request.node;
  if (!state.subscribed) {
    state.subscribed = true;
    state.first_due = true;
    state.client_has = {request.initial_versions.begin(), request.initial_versions.end()};
  }
  if (request.response_nonce.empty() || request.response_nonce != state.unanswered) return;
  state.unanswered.clear();
  ++(request.error ? nacks_ : acks_);
  if (request.error) last_error_ = *request.error;
}

std::optional<xds::DeltaResponse> AdsServerSession::next() {
  for (const xds::ResourceType type : kTypes) {
    if (auto response = next(type, types_[static_cast<std::size_t>(type)])) return response;
  }
  return std::nullopt;
}

bool AdsServerSession::lacks(const PerType& state, const ControlState::Resources& resources) {
  if (state.client_has.size() != resources.size()) return true;
  for (const auto& [name, resource] : resources) {
    const auto has = state.client_has.find(name);
    if (has == state.client_has.end() || has->second != resource.version) return true;
  }
  return false;
}

std::optional<xds::DeltaResponse> AdsServerSession::next(xds::ResourceType type, PerType& state) {
  const ControlState::Resources& resources = control_.of(type);
  if (!state.subscribed || !state.unanswered.empty()) return std::nullopt;
  if (!state.first_due && !lacks(state, resources)) return std::nullopt;
  state.first_due = false;
  xds::DeltaResponse response;
  response.system_version = std::to_string(control_.version());
  response.type_url = xds::type_url(type);
  response.nonce = "n" + std::to_string(++nonces_);
  for (const auto& [name, resource] : resources) {
    const auto has = state.client_has.find(name);
    if (has != state.client_has.end() && has->second == resource.version) continue;
    xds::RawResource& raw = response.resources.emplace_back();
    raw.name = name;
    raw.version = resource.version;
    raw.type_url = response.type_url;
    raw.bytes = resource.bytes;
    state.client_has[name] = resource.version;
    ++resources_sent_;
  }
  for (auto has = state.client_has.begin(); has != state.client_has.end();) {
    if (resources.contains(has->first)) {
      ++has;
      continue;
    }
    response.removed.push_back(has->first);
    has = state.client_has.erase(has);
  }
  state.unanswered = response.nonce;
  return response;
}

bool AdsServerSession::in_sync() const {
  for (const xds::ResourceType type : kTypes) {
    const PerType& state = types_[static_cast<std::size_t>(type)];
    if (!state.subscribed || state.first_due || !state.unanswered.empty()) return false;
    if (lacks(state, control_.of(type))) return false;
  }
  return true;
}

}  // namespace mesh::test
