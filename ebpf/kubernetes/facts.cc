#include "ebpf/kubernetes/facts.h"

#include <algorithm>

#include "mesh/manifest/parse.h"

namespace mesh::ebpf {
namespace {

constexpr std::string_view kOrigin = "kubernetes";

DataplaneMode mode_of(const manifest::Metadata& metadata) {
  for (const char* key : {"istio.io/dataplane-mode", "weft.dev/dataplane-mode"}) {
    const std::string_view value = metadata.label(key);
    if (value == "ambient") return DataplaneMode::kAmbient;
    if (value == "none") return DataplaneMode::kNone;
  }
  return DataplaneMode::kUnset;
}

template <class T>
std::optional<T> read(manifest::Kind kind, const manifest::Value& object) {
  manifest::Parsed parsed = manifest::parse_object(kOrigin, kind, object);
  if (parsed.objects.empty()) return std::nullopt;
  auto* typed = std::get_if<T>(&parsed.objects.front().object);
  return typed != nullptr ? std::optional(std::move(*typed)) : std::nullopt;
}

}  // namespace

std::optional<PodFacts> read_pod(const manifest::Value& object) {
  const auto pod = read<manifest::Pod>(manifest::Kind::kPod, object);
  if (!pod || pod->metadata.uid.empty()) return std::nullopt;
  const manifest::Metadata& metadata = pod->metadata;
  return PodFacts{
      .uid = metadata.uid,
      .name = metadata.name,
      .ns = metadata.ns,
      .service_account = pod->service_account.empty() ? "default" : pod->service_account,
      .ips = pod->ips,
      .mode = mode_of(metadata),
      .host_network = pod->host_network,
      .sidecar = !metadata.annotation("sidecar.istio.io/status").empty() ||
                 metadata.label("security.istio.io/tlsMode") == "istio",
      .finished =
          pod->phase == manifest::PodPhase::kSucceeded || pod->phase == manifest::PodPhase::kFailed,
      .annotated = metadata.annotation("ambient.istio.io/redirection") == "enabled"};
}

std::optional<NamespaceFacts> read_namespace(const manifest::Value& object) {
  const auto ns = read<manifest::Namespace>(manifest::Kind::kNamespace, object);
  if (!ns || ns->metadata.name.empty()) return std::nullopt;
  return NamespaceFacts{.name = ns->metadata.name, .mode = mode_of(ns->metadata)};
}

bool belongs_into_mesh(const PodFacts& pod, DataplaneMode ns,
                       std::span<const std::string> excluded_namespaces) {
  if (pod.host_network || pod.sidecar) return false;
  if (std::ranges::find(excluded_namespaces, pod.ns) != excluded_namespaces.end()) return false;
  const DataplaneMode mode = pod.mode != DataplaneMode::kUnset ? pod.mode : ns;
  return mode == DataplaneMode::kAmbient;
}

}  // namespace mesh::ebpf
