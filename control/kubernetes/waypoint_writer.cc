#include "control/kubernetes/waypoint_writer.h"

#include <random>
#include <set>
#include <utility>

namespace mesh::control::kubernetes {
namespace {

using manifest::Value;

constexpr std::string_view kManager = "weft-control";
constexpr std::size_t kMaxConfigMaps = 1000;

struct Watched {
  const char* group;
  const char* version;
  const char* plural;
};
constexpr Watched kParts[] = {{"", "v1", "serviceaccounts"},
                              {"", "v1", "services"},
                              {"apps", "v1", "deployments"},
                              {"autoscaling", "v2", "horizontalpodautoscalers"},
                              {"policy", "v1", "poddisruptionbudgets"}};

std::string key_of(const Value& object) {
  return kube::metadata_text(object, "namespace") + "/" + kube::metadata_text(object, "name");
}

}  // namespace

void WaypointWriter::Copy::stage(Value&& object) {
  std::string key = key_of(object);
  staged[std::move(key)] = std::move(object);
}

void WaypointWriter::Copy::commit_list() {
  objects = std::exchange(staged, {});
  complete = true;
}

void WaypointWriter::Copy::put(Value&& object) {
  std::string key = key_of(object);
  objects[std::move(key)] = std::move(object);
}

void WaypointWriter::Copy::remove(Value&& object) { objects.erase(key_of(object)); }

WaypointWriter::WaypointWriter(kube::Http& http, WaypointOptions options,
                               std::function<void()> changed)
    : http_(http), options_(std::move(options)), changed_(std::move(changed)) {}

void WaypointWriter::watch(Copy& copy, kube::Reflector::Options options) {
  options.seed = std::random_device()();
  copy.informer =
      std::make_shared<kube::Informer>(http_, std::move(options), copy, [this] { changed_(); });
  copy.informer->run();
}

void WaypointWriter::run() {
  for (const Watched& watched : kParts) {
    const kube::ResourceType type{
        .group = watched.group, .version = watched.version, .plural = watched.plural};
    kube::Reflector::Options options;
    options.paths = {type.path()};
    options.label_selector = "gateway.istio.io/managed=weft.dev-mesh-controller";
    auto& copy = parts_[watched.plural] = std::make_unique<Copy>();
    watch(*copy, std::move(options));
  }
}

Parameters WaypointWriter::parameters(const World& world, bool& complete) {
  static const kube::ResourceType kConfigMaps{.group = {}, .version = "v1", .plural = "configmaps"};
  Parameters all;
  for (const auto& [ns, name] : named_parameters(world, options_)) {
    const std::string key = ns + "/" + name;
    auto found = config_maps_.find(key);
    if (found == config_maps_.end()) {
      if (config_maps_.size() >= kMaxConfigMaps) continue;
      found = config_maps_.emplace(key, std::make_unique<Copy>()).first;
      kube::Reflector::Options options;
      options.paths = {kConfigMaps.path(ns)};
      options.field_selector = "metadata.name=" + name;
      watch(*found->second, std::move(options));
    }
    const Copy& copy = *found->second;
    complete = complete && copy.complete;
    const auto object = copy.objects.find(key);
    if (object == copy.objects.end()) continue;
    auto& data = all[key];
    const Value* fields = object->second.find("data");
    if (fields == nullptr || fields->type != Value::Type::kMap) continue;
    for (std::size_t i = 0; i < fields->keys.size(); ++i)
      data[fields->keys[i]] = fields->items[i].text;
  }
  return all;
}

std::vector<Write> WaypointWriter::plan(const World& world, const Settings& settings) {
  bool complete = true;
  const Parameters known = parameters(world, complete);
  if (!complete) return {};
  std::vector<WaypointProblem> problems;
  std::vector<Write> writes;
  std::set<std::string> unwatched;
  for (WaypointPart& part : waypoint_parts(world, settings, options_, known, problems)) {
    const auto copy = parts_.find(part.target.type.plural);
    if (copy != parts_.end()) {
      if (!copy->second->complete) {
        const auto health = copy->second->informer->health();
        if (!health.problem.empty()) {
          unwatched.insert(part.target.type.plural + " cannot be watched: " + health.problem);
        }
        continue;
      }
      const auto live = copy->second->objects.find(part.target.ns + "/" + part.target.name);
      if (live != copy->second->objects.end() && holds(part.body, live->second)) continue;
    }
    Write write{.verb = "patch", .target = std::move(part.target)};
    write.request = kube::apply_request(write.target, std::move(part.body), kManager, true);
    writes.push_back(std::move(write));
  }
  const std::lock_guard lock(mutex_);
  problems_.assign(unwatched.begin(), unwatched.end());
  for (const WaypointProblem& problem : problems) {
    problems_.push_back(problem.gateway.to_string() + ": " + problem.text);
  }
  return writes;
}

std::vector<std::string> WaypointWriter::problems() const {
  const std::lock_guard lock(mutex_);
  return problems_;
}

}  // namespace mesh::control::kubernetes
