#include "control/applied.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <variant>

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

bool has(const World& world, const manifest::ObjectKey& key, const std::string& version) {
  const auto found = world.objects().find(key);
  if (found == world.objects().end()) return version.empty();
  if (version.empty()) return false;
  const std::string& there = std::visit(
      [](const auto& object) -> const std::string& { return object.metadata.resource_version; },
      *found->second);
  return number_of(there) >= number_of(version);
}

}  // namespace

Applied applied(const Hub& hub, const AppliedQuestion& question) {
  Applied answer;
  const auto kind = kind_of(question.kind);
  answer.is_kind = kind.has_value();
  const auto snapshot = hub.snapshot();
  if (!kind || snapshot == nullptr) return answer;
  const manifest::ObjectKey key{*kind, question.ns, question.name};
  for (const manifest::Problem& problem : hub.problems()) {
    const bool about = problem.object == key.to_string();
    if (about && problem.severity == manifest::Severity::kError) {
      answer.refused =
          problem.field.empty() ? problem.message : problem.field + ": " + problem.message;
    }
  }
  answer.known = has(*snapshot->world, key, question.resource_version);
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
