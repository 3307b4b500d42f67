#include "control/world.h"

namespace mesh::control {

using manifest::Metadata;
using manifest::Pod;
using manifest::PodPhase;

std::string_view mesh_label(const Metadata& metadata, std::string_view suffix) {
  for (const std::string_view prefix : {"istio.io/", "weft.dev/"}) {
    const std::string_view value = metadata.label(std::string(prefix) + std::string(suffix));
    if (!value.empty()) return value;
  }
  return {};
}

bool selects(const manifest::Labels& selector, const manifest::Labels& labels) {
  for (const auto& [key, value] : selector) {
    const auto label = labels.find(key);
    if (label == labels.end() || label->second != value) return false;
  }
  return true;
}

bool is_enrolled(const World& world, const Pod& pod) {
  if (pod.host_network) return false;
  if (pod.metadata.annotation("ambient.istio.io/redirection") == "enabled") return true;
  if (pod.metadata.label("security.istio.io/tlsMode") == "istio") return false;
  if (!pod.metadata.annotation("sidecar.istio.io/status").empty()) return false;
  const std::string_view own = mesh_label(pod.metadata, "dataplane-mode");
  if (!own.empty()) return own == "ambient";
  const auto* ns = world.find<manifest::Namespace>("", pod.metadata.ns);
  return ns != nullptr && mesh_label(ns->metadata, "dataplane-mode") == "ambient";
}

bool is_running(const Pod& pod) {
  return !pod.ips.empty() && pod.phase != PodPhase::kSucceeded && pod.phase != PodPhase::kFailed;
}

NodeAccounts accounts_by_node(const World& world) {
  NodeAccounts accounts;
  for (const Pod* pod : world.all<Pod>()) {
    const bool ended = pod->phase == PodPhase::kSucceeded || pod->phase == PodPhase::kFailed;
    if (ended || pod->node_name.empty()) continue;
    accounts[pod->node_name].insert(pod->metadata.ns + "/" + pod->service_account);
  }
  return accounts;
}

}  // namespace mesh::control
