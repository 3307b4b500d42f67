#include "control/kubernetes/objects.h"

#include <optional>
#include <set>
#include <utility>

#include "mesh/kube/frames.h"
#include "mesh/manifest/stand_in.h"

namespace mesh::control {
namespace {

using manifest::Kind;
using manifest::ObjectKey;
using manifest::Value;

constexpr std::string_view kOrigin = "kubernetes";

bool is_same_state(const manifest::Object& a, const manifest::Object& b) {
  const std::string& version = manifest::metadata_of(a).resource_version;
  return !version.empty() && version == manifest::metadata_of(b).resource_version &&
         manifest::metadata_of(a).uid == manifest::metadata_of(b).uid;
}

// Not another of the same name.
bool is_same_object(const manifest::Object& known, const Value& value) {
  return manifest::metadata_of(known).uid == kube::metadata_text(value, "uid");
}

// What nobody in control reads, and what most of a pod's memory would be.
void trim(manifest::Object& object) {
  auto* pod = std::get_if<manifest::Pod>(&object);
  if (pod == nullptr) return;
  pod->init_containers.clear();
  pod->init_containers.shrink_to_fit();
  for (manifest::Container& container : pod->containers) {
    container = {.name = std::move(container.name),
                 .image = {},
                 .command = {},
                 .args = {},
                 .env = {},
                 .working_dir = {},
                 .ports = std::move(container.ports),
                 .readiness = {}};
  }
  pod->metadata.annotations.erase("kubectl.kubernetes.io/last-applied-configuration");
}

}  // namespace

std::optional<KubeObjects::Collection::Read> KubeObjects::Collection::read(
    const Value& value) const {
  manifest::Parsed parsed = manifest::parse_object(kOrigin, kind_, value);
  if (!parsed.objects.empty()) {
    manifest::Object& object = parsed.objects.front().object;
    trim(object);
    ObjectKey key = manifest::key_of(object);
    auto status = status_of(value, parsed.problems, "");
    return Read{.key = std::move(key),
                .object = std::make_shared<const manifest::Object>(std::move(object)),
                .stands_in = false,
                .problems = std::move(parsed.problems),
                .status = std::move(status)};
  }
  // An API server does not hold objects without a proper name.
  if (parsed.broken.empty()) return {};
  Read refused;
  refused.key = std::move(parsed.broken.front().key);
  const auto known = all_.objects_.find(refused.key);
  const bool was_good = known != all_.objects_.end() && !all_.stand_ins_.contains(refused.key) &&
                        is_same_object(*known->second, value);
  refused.object = was_good ? known->second : std::move(parsed.broken.front().stand_in);
  refused.stands_in = !was_good && refused.object != nullptr;
  const std::string in_force = was_good            ? manifest::kLastGoodHolds
                               : refused.stands_in ? manifest::stand_in_words(kind_)
                                                   : manifest::kLeftOut;
  refused.status = status_of(value, parsed.problems, in_force);
  for (manifest::Problem& problem : parsed.problems) {
    problem.version = kube::metadata_text(value, "resourceVersion");
    if (problem.severity == manifest::Severity::kError) problem.in_force = in_force;
  }
  refused.problems = std::move(parsed.problems);
  return refused;
}

// `in_force`: of one that is refused, what holds instead.
std::optional<StatusCopy> KubeObjects::Collection::status_of(
    const Value& value, const std::vector<manifest::Problem>& problems,
    std::string in_force) const {
  if (!kubernetes::has_status(kind_)) return {};
  if (in_force.empty()) return kubernetes::copy_status(value, "", "");
  std::string refused;
  for (const manifest::Problem& problem : problems) {
    if (problem.severity != manifest::Severity::kError) continue;
    refused = problem.field.empty() ? problem.message : problem.field + ": " + problem.message;
    break;
  }
  if (refused.empty()) refused = "it cannot be read";
  return kubernetes::copy_status(value, std::move(refused), std::move(in_force));
}

void KubeObjects::Collection::take(Read&& read) {
  all_.changed_ = true;
  if (read.stands_in) {
    all_.stand_ins_.insert(read.key);
  } else {
    all_.stand_ins_.erase(read.key);
  }
  if (read.object != nullptr) {
    // A list repeats what is known: what did not change stays the very same.
    const auto known = all_.objects_.find(read.key);
    if (known == all_.objects_.end() || !is_same_state(*known->second, *read.object)) {
      all_.objects_.set(read.key, std::move(read.object));
    }
  } else {
    all_.objects_.erase(read.key);
  }
  if (read.status) all_.statuses_[read.key] = *std::move(read.status);
  if (read.problems.empty()) {
    all_.problems_.erase(read.key);
  } else {
    all_.problems_[read.key] = std::move(read.problems);
  }
}

void KubeObjects::Collection::begin_list() { staged_.clear(); }

void KubeObjects::Collection::stage(Value&& object) {
  if (auto item = read(object)) staged_.push_back(*std::move(item));
}

void KubeObjects::Collection::commit_list() {
  std::set<ObjectKey> there;
  for (const Read& item : staged_) there.insert(item.key);
  std::vector<ObjectKey> gone;
  for (auto it = all_.objects_.lower_bound(ObjectKey{kind_, "", ""});
       it != all_.objects_.end() && it->first.kind == kind_; ++it) {
    if (!there.contains(it->first)) gone.push_back(it->first);
  }
  for (const ObjectKey& key : gone) {
    all_.objects_.erase(key);
    all_.stand_ins_.erase(key);
  }
  const auto clear = [&](auto& map) {
    const auto first = map.lower_bound(ObjectKey{kind_, "", ""});
    auto last = first;
    while (last != map.end() && last->first.kind == kind_) ++last;
    map.erase(first, last);
  };
  clear(all_.problems_);
  clear(all_.statuses_);
  for (Read& item : staged_) take(std::move(item));
  staged_ = {};
  all_.changed_ = true;
}

void KubeObjects::Collection::put(Value&& object) {
  if (auto item = read(object)) take(*std::move(item));
}

void KubeObjects::Collection::remove(Value&& object) {
  const auto item = read(object);
  if (!item) return;
  all_.objects_.erase(item->key);
  all_.stand_ins_.erase(item->key);
  all_.problems_.erase(item->key);
  all_.statuses_.erase(item->key);
  all_.changed_ = true;
}

std::vector<manifest::Problem> KubeObjects::problems() const {
  std::vector<manifest::Problem> problems;
  for (const auto& [key, list] : problems_) {
    problems.insert(problems.end(), list.begin(), list.end());
  }
  return problems;
}

}  // namespace mesh::control
