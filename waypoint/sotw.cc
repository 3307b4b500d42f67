#include "waypoint/sotw.h"

#include <functional>
#include <utility>

#include "waypoint/delta.h"

namespace mesh::waypoint {
namespace {

// Of these every response is the whole.
bool is_whole(std::string_view type_url) {
  const auto type = envoy_type_of(type_url);
  return type == EnvoyType::kListener || type == EnvoyType::kCluster;
}

std::size_t hash_of(const std::string& bytes) {
  const std::size_t hash = std::hash<std::string>{}(bytes);
  return hash == 0 ? 1 : hash;
}

}  // namespace

void Sotw::connected() {
  for (auto& [url, type] : types_) {
    type.nonce.clear();
    type.answered = true;
    type.versions.clear();
  }
}

std::optional<xds::SotwRequest> Sotw::translate(const xds::DeltaRequest& request) {
  Type& type = types_[request.type_url];
  if (request.node) type.names.clear();  // the first of a stream names them all
  type.names.insert(request.subscribe.begin(), request.subscribe.end());
  for (const std::string& name : request.unsubscribe) {
    type.names.erase(name);
    type.known.erase(name);
  }
  xds::SotwRequest made{.node = request.node, .type_url = request.type_url};
  if (!request.response_nonce.empty()) {
    const auto answered = type.versions.find(request.response_nonce);
    if (request.error) {
      // Whatever it held is looked at again when it comes again.
      for (auto& [name, hash] : type.known) hash = 0;
    } else if (answered != type.versions.end()) {
      type.accepted = answered->second;
    }
    if (answered != type.versions.end()) type.versions.erase(answered);
    if (request.response_nonce != type.nonce) return std::nullopt;  // a newer one is due an answer
    type.answered = true;
    made.error = request.error;
  } else if (!type.answered) {
    return std::nullopt;
  }
  // No names would mean all of them.
  if (!is_whole(request.type_url) && type.names.empty() && type.nonce.empty()) return std::nullopt;
  made.version = type.accepted;
  made.response_nonce = type.nonce;
  made.names.assign(type.names.begin(), type.names.end());
  return made;
}

xds::DeltaResponse Sotw::translate(const xds::SotwResponse& response) {
  Type& type = types_[response.type_url];
  type.nonce = response.nonce;
  type.answered = false;
  type.versions[response.nonce] = response.version;
  xds::DeltaResponse made{
      .system_version = response.version, .type_url = response.type_url, .nonce = response.nonce};
  std::set<std::string> named;
  for (const xds::RawResource& resource : response.resources) {
    named.insert(resource.name);
    std::size_t& known = type.known[resource.name];
    const std::size_t hash = hash_of(resource.bytes);
    if (std::exchange(known, hash) != hash) made.resources.push_back(resource);
  }
  if (!is_whole(response.type_url)) return made;
  std::erase_if(type.known, [&](const auto& item) {
    if (named.contains(item.first)) return false;
    made.removed.push_back(item.first);
    return true;
  });
  return made;
}

}  // namespace mesh::waypoint
