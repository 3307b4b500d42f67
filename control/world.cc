#include "control/world.h"

namespace mesh::control {

using manifest::Metadata;
using manifest::Pod;
using manifest::PodPhase;

const manifest::MeshConfig& World::mesh() const {
  static const manifest::MeshConfig kNothing;
  if (reads_ != nullptr) reads_->mesh = true;
  return mesh_ == nullptr ? kNothing : *mesh_;
}

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

namespace {

// A value that is neither "ambient" nor "none" is as if it were not there, as for the agent.
std::string_view mode_of(const Metadata& metadata) {
  for (const char* key : {"istio.io/dataplane-mode", "weft.dev/dataplane-mode"}) {
    const std::string_view value = metadata.label(key);
    if (value == "ambient" || value == "none") return value;
  }
  return {};
}

}  // namespace

bool is_enrolled(const World& world, const Pod& pod) {
  if (pod.host_network) return false;
  if (pod.metadata.annotation("ambient.istio.io/redirection") == "enabled") return true;
  if (pod.metadata.label("security.istio.io/tlsMode") == "istio") return false;
  if (!pod.metadata.annotation("sidecar.istio.io/status").empty()) return false;
  const std::string_view own = mode_of(pod.metadata);
  if (!own.empty()) return own == "ambient";
  const auto* ns = world.find<manifest::Namespace>("", pod.metadata.ns);
  return ns != nullptr && mode_of(ns->metadata) == "ambient";
}

bool has_ended(const Pod& pod) {
  return pod.phase == PodPhase::kSucceeded || pod.phase == PodPhase::kFailed;
}

bool is_running(const Pod& pod) { return !pod.ips.empty() && !has_ended(pod); }

}  // namespace mesh::control
