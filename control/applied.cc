#include "control/applied.h"

#include <algorithm>
#include <charconv>

#include "mesh/manifest/parse.h"

namespace mesh::control {
namespace {

std::optional<manifest::Kind> kind_of(const std::string& name) {
  for (const manifest::KnownKind& known : manifest::known_kinds()) {
    if (known.name == name) return known.kind;
  }
  return {};
}

// Of one API server, versions of a kind are numbers that grow.
std::uint64_t number_of(const std::string& version) {
  std::uint64_t number = 0;
  std::from_chars(version.data(), version.data() + version.size(), number);
  return number;
}

// `there`: the version here, if it is here.
bool reaches(const std::optional<std::string>& there, const std::string& version) {
  if (!there || version.empty()) return !there && version.empty();
  return number_of(*there) >= number_of(version);
}

std::optional<std::string> version_in(const World& world, const manifest::ObjectKey& key) {
  const auto found = world.objects().find(key);
  if (found == world.objects().end()) return {};
  return manifest::metadata_of(*found->second).resource_version;
}

// Of this version of it, or a later one: what was wrong with an earlier one may be mended.
std::string refused_because(const Hub& hub, std::string_view object, const std::string& version) {
  std::string refused;
  if (version.empty()) return refused;
  for (const manifest::Problem& problem : hub.problems()) {
    if (problem.object != object || problem.severity != manifest::Severity::kError) continue;
    if (!problem.version.empty() && !reaches(problem.version, version)) continue;
    refused = (problem.field.empty() ? "" : problem.field + ": ") + problem.message +
              (problem.in_force.empty() ? "" : "; " + problem.in_force);
  }
  return refused;
}

}  // namespace

Applied applied(const Hub& hub, const AppliedQuestion& question,
                const std::optional<MeshMapVersion>& mesh) {
  Applied answer;
  const auto kind = kind_of(question.kind);
  const bool is_mesh = question.kind == "ConfigMap" && mesh.has_value() &&
                       mesh->name == question.ns + "/" + question.name;
  answer.is_kind = kind.has_value() || is_mesh;
  const auto snapshot = hub.snapshot();
  if (!answer.is_kind || snapshot == nullptr) return answer;
  if (is_mesh) {
    const auto there = mesh->version == "" ? std::nullopt : mesh->version;
    answer.known = mesh->version.has_value() && reaches(there, question.resource_version);
    if (answer.known) {
      answer.refused = refused_because(hub, manifest::kMeshConfigObject, question.resource_version);
    }
  } else {
    const manifest::ObjectKey key{*kind, question.ns, question.name};
    answer.refused = refused_because(hub, key.to_string(), question.resource_version);
    answer.known = reaches(version_in(*snapshot->world, key), question.resource_version);
  }
  if (!answer.known) return answer;
  answer.version = question.version != 0 ? question.version : snapshot->version;
  for (const NodeStatus& node : hub.nodes()) {
    const bool has_it = node.acked_version >= answer.version;
    auto& list = !node.connected ? answer.absent : has_it ? answer.current : answer.pending;
    list.push_back(node.node);
  }
  for (const NodeStatus& proxy : hub.waypoints()) {
    const bool has_it = proxy.acked_version >= answer.version;
    auto& list = !proxy.connected ? answer.absent : has_it ? answer.current : answer.pending;
    list.push_back(proxy.node);
  }
  return answer;
}

}  // namespace mesh::control
